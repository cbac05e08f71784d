"""The denoising block: non-local means of a map, added to it through a 1x1 convolution.

Xie, Wu, van der Maaten, Yuille, He 2019, "Feature Denoising for Improving Adversarial Robustness",
arXiv 1812.03411, section 4 and figure 4.
"""

from typing import ClassVar, Literal

import numpy as np
from torch import Tensor, nn

from models.blocks.expected import slot_row
from models.blocks.layers.pairwise import pairwise, products

__all__ = ["Denoise", "expected"]


class Denoise(nn.Module):
    """x (n, channels, h, w) -> x + norm(project(means of x)), of the same shape.

    The paper has it after the last block of each stage.

    kind: weights by `softmax` of products, or the products over the number of places (`dot`).
    embed: whether products are those of embeddings of half as many channels, or of x itself.
    """

    place: ClassVar[str] = "after"
    identity_at_init: ClassVar[bool] = True

    def __init__(
        self, channels: int, kind: Literal["softmax", "dot"] = "softmax", embed: bool = True
    ) -> None:
        super().__init__()
        self.kind, self.embed = kind, embed
        if embed:
            # no bias, as in the authors' code
            self.queries = nn.Conv2d(channels, max(channels // 2, 1), 1, bias=False)
            self.keys = nn.Conv2d(channels, max(channels // 2, 1), 1, bias=False)
            nn.init.normal_(self.queries.weight, std=0.01)
            nn.init.normal_(self.keys.weight, std=0.01)
        self.project = nn.Conv2d(channels, channels, 1, bias=False)
        nn.init.kaiming_normal_(self.project.weight, mode="fan_out", nonlinearity="relu")
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)  # so that the block starts as the identity

    def means(self, x: Tensor) -> Tensor:
        """The map without its noise, of the same shape."""
        queries, keys = (self.queries(x), self.keys(x)) if self.embed else (x, x)
        if self.kind == "softmax":
            queries = queries * queries.shape[1] ** -0.5
        found = pairwise(queries.flatten(2), keys.flatten(2), x.flatten(2), self.kind)
        return found.unflatten(2, x.shape[2:])

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.project(self.means(x)))

    @staticmethod
    def cost(
        channels: np.ndarray,
        size: tuple[np.ndarray, np.ndarray],
        kind: str = "softmax",
        embed: bool = True,
    ) -> dict[str, np.ndarray]:
        """{"params", "flops", "acts"} by the rule pycls, of one block or of arrays of blocks."""
        n, inner = size[0] * size[1], np.maximum(channels // 2, 1)
        weights = 2 * channels * inner * embed + channels**2
        means = products(inner if embed else channels, channels, n, n, kind)
        flops = weights * n + means[0]
        acts = (2 * inner * embed + channels) * n + means[1]
        return {"params": weights + 2 * channels, "flops": flops, "acts": acts}


expected = [
    slot_row(256, 131_584),
    slot_row(512, 525_312),
    slot_row(1024, 2_099_200),
    slot_row(2048, 8_392_704, kind="dot"),
    slot_row(256, 66_048, embed=False, kind="dot"),
]
