"""The non-local block: each position adds values of all positions, weighted by their likeness.

Wang, Girshick, Gupta, He 2018, "Non-local Neural Networks", arXiv 1711.07971, sections 3.2 and 3.3.
The products of embeddings are scaled by their width to the power of -1/2, and convolutions start
as N(0, 0.01), as in the authors' code.
"""

from typing import ClassVar, Literal

import numpy as np
from torch import Tensor, nn

from models.blocks.layers.pairwise import pairwise, products
from models.blocks.ranges import Count

__all__ = ["Kind", "NonLocal"]

WEIGHTS = {
    "embedded_gaussian": "softmax",
    "gaussian": "softmax",
    "dot_product": "dot",
    "concatenation": "sum",
}
Kind = Literal["embedded_gaussian", "gaussian", "dot_product", "concatenation"]


class NonLocal(nn.Module):
    """x (n, channels, h, w) -> x + norm(project(means)), of the same shape.

    kind: how alike two positions are.
    subsample: whether values are those of the map max-pooled by two.
    reduction: channels over those of the embeddings and values.
    """

    # of maps of clips others (models/blocks/layers/video/nonlocal3d.py)
    convolution: ClassVar[type[nn.Module]] = nn.Conv2d
    normalization: ClassVar[type[nn.Module]] = nn.BatchNorm2d

    def __init__(
        self,
        channels: int,
        kind: Kind = "embedded_gaussian",
        subsample: bool = False,
        reduction: Count = 2,
    ) -> None:
        super().__init__()
        inner = max(channels // reduction, 1)
        self.kind = kind
        # a map that does not halve is rounded up, as all layers here do
        self.pool = self.halved() if subsample else nn.Identity()
        convolve = self.convolution
        self.values = convolve(channels, inner, 1)
        if kind != "gaussian":
            self.queries, self.keys = convolve(channels, inner, 1), convolve(channels, inner, 1)
        if kind == "concatenation":
            self.of_query = convolve(inner, 1, 1, bias=False)
            self.of_key = convolve(inner, 1, 1, bias=False)
        self.project, self.norm = convolve(inner, channels, 1), self.normalization(channels)
        for conv in (module for module in self.modules() if isinstance(module, convolve)):
            nn.init.normal_(conv.weight, std=0.01)
            if conv.bias is not None:
                nn.init.zeros_(conv.bias)
        nn.init.zeros_(self.norm.weight)  # so that the block starts as the identity

    def halved(self) -> nn.Module:
        """The map max-pooled by two."""
        return nn.MaxPool2d(2, ceil_mode=True)

    def forward(self, x: Tensor) -> Tensor:
        fewer = self.pool(x)
        queries, keys = x, fewer
        if self.kind != "gaussian":
            queries, keys = self.queries(x), self.keys(fewer)
        if self.kind == "concatenation":
            queries, keys = self.of_query(queries), self.of_key(keys)
        elif self.kind != "dot_product":
            queries = queries * queries.shape[1] ** -0.5
        values = self.values(fewer).flatten(2)
        means = pairwise(queries.flatten(2), keys.flatten(2), values, WEIGHTS[self.kind])
        return x + self.norm(self.project(means.unflatten(2, x.shape[2:])))

    @staticmethod
    def cost(
        channels: np.ndarray,
        size: tuple[np.ndarray, np.ndarray],
        kind: Kind = "embedded_gaussian",
        subsample: bool = False,
        reduction: int = 2,
    ) -> dict[str, np.ndarray]:
        """{"params", "flops", "acts"} by the rule pycls, of one block or of arrays of blocks."""
        inner, n = np.maximum(channels // reduction, 1), size[0] * size[1]
        m = -(-size[0] // 2) * -(-size[1] // 2) if subsample else n
        embedded, joined = kind != "gaussian", kind == "concatenation"
        layer = (channels + 1) * inner
        params = (1 + 2 * embedded) * layer + (inner + 3) * channels + 2 * inner * joined
        flops = layer * m + layer * (n + m) * embedded + (inner + 1) * channels * n
        acts = inner * m + inner * (n + m) * embedded + channels * n + channels * m * subsample
        width = inner if embedded else channels
        if joined:
            width, flops, acts = 1, flops + inner * (n + m), acts + n + m
        means = products(width, inner, n, m, WEIGHTS[kind])
        return {"params": params, "flops": flops + means[0], "acts": acts + means[1]}
