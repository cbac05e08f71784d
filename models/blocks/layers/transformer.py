"""What transformers of images are made of: attention of several heads, an MLP, the two as a block.

Vaswani et al. 2017, "Attention Is All You Need", arXiv 1706.03762, section 3.2; normed before each
part, as Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words", arXiv 2010.11929, equations 2
and 3.
"""

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["MLP", "EncoderBlock", "SelfAttention"]


class MLP(nn.Module):
    """Values (..., width) -> (..., width), by way of `hidden` and GELU.

    std: deviation of the first weights, biases 0; None: Glorot's, biases nearly 0.
    """

    def __init__(self, width: int, hidden: int, std: float | None = None) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        for layer in (self.fc1, self.fc2):
            if std is None:
                nn.init.xavier_uniform_(layer.weight)
                nn.init.normal_(layer.bias, std=1e-6)
            else:
                nn.init.trunc_normal_(layer.weight, std=std)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class SelfAttention(nn.Module):
    """Tokens (n, length, width) -> the same shape; equation 1 in each of the heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"{heads} heads do not divide width {width}: give a divisor of it")
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        # as torch's MultiheadAttention starts: Glorot over all three at once
        nn.init.xavier_uniform_(self.qkv.weight)
        for layer in (self.qkv, self.proj):
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        qkv = self.qkv(x).view(n, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attended = F.scaled_dot_product_attention(q, k, v)
        return self.proj(attended.transpose(1, 2).reshape(n, length, width))


class EncoderBlock(nn.Module):
    """Attention, then an MLP, each normed before and added to a shortcut."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        # eps as the authors'
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = MLP(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))
