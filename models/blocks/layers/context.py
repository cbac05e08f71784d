"""The global context block: one vector per image, of attention over its places, added everywhere.

Cao, Xu, Lin, Wei, Hu 2019, "GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond",
arXiv 1904.11492, section 3.3 and figure 4(d).
"""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from models.blocks.ranges import Count

__all__ = ["GlobalContext"]

LEAST = 4  # channels between the layers: the norm of one or two forgets what they were


class GlobalContext(nn.Module):
    """x (n, channels, h, w) -> x + a vector (n, channels, 1, 1).

    reduction: the paper's r, channels over those between the two layers.
    """

    place: ClassVar[str] = "branch"

    def __init__(self, channels: int, reduction: Count = 16) -> None:
        super().__init__()
        inner = max(channels // reduction, LEAST)
        self.attention = nn.Conv2d(channels, 1, 1)
        self.transform = nn.Sequential(
            nn.Conv2d(channels, inner, 1),
            nn.LayerNorm([inner, 1, 1]),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, channels, 1),
        )
        for conv in (self.attention, self.transform[0]):
            nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")
            nn.init.zeros_(conv.bias)
        # as in the authors' code: the block starts as the identity
        nn.init.zeros_(self.transform[-1].weight)
        nn.init.zeros_(self.transform[-1].bias)

    def forward(self, x: Tensor) -> Tensor:
        weights = torch.softmax(self.attention(x).flatten(2), dim=-1)  # (n, 1, h * w)
        context = x.flatten(2) @ weights.transpose(1, 2)  # (n, channels, 1)
        return x + self.transform(context[..., None])

    @staticmethod
    def cost(
        channels: np.ndarray, size: tuple[np.ndarray, np.ndarray], reduction: int = 16
    ) -> dict[str, np.ndarray]:
        """{"params", "flops", "acts"} by the rule pycls, of one block or of arrays of blocks."""
        inner, n = np.maximum(channels // reduction, LEAST), size[0] * size[1]
        layers = 2 * channels * inner + inner + channels
        params = layers + channels + 1 + 2 * inner
        flops = layers + (2 * channels + 1) * n
        return {"params": params, "flops": flops, "acts": n + inner + 2 * channels}
