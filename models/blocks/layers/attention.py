"""Self-attention over places of a map, or of a window, with learnt relative positions.

Srinivas et al. 2021, "Bottleneck Transformers for Visual Recognition", arXiv 2101.11605, section
3 and figure 4; Vaswani et al. 2021, "Scaling Local Self-Attention for Parameter Efficient Visual
Backbones", arXiv 2103.12731, section 2.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.ranges import Count

__all__ = ["BotAttention", "HaloAttention", "RelativePositions", "relative_logits"]

Pair = tuple[int, int]


def relative_logits(queries: Tensor, table: Tensor, keys: int, stride: int = 1) -> Tensor:
    """(..., q, d) queries and a table (2 * span - 1, d) -> (..., q, keys).

    Of query i and key j: queries[i] . table[j - stride * i + span - 1].

    stride: places of the keys from one query to the next.
    """
    last = table.shape[0] // 2
    places = torch.arange(keys, device=table.device)
    steps = places - stride * torch.arange(queries.shape[-2], device=table.device)[:, None]
    # a product per query's place, as einsum would, which takes no product where d is 1
    asking = queries.movedim(-2, 0)
    found = asking.flatten(1, -2) @ F.embedding(steps + last, table).mT
    return found.unflatten(1, asking.shape[1:-1]).movedim(0, -2)


class RelativePositions(nn.Module):
    """What a query adds for each place (i, j) of its keys: one vector per row and column offset.

    span: rows and columns of the keys. d: width of the queries.
    """

    def __init__(self, span: Pair, d: int) -> None:
        super().__init__()
        self.height = nn.Parameter(torch.empty(2 * span[0] - 1, d))
        self.width = nn.Parameter(torch.empty(2 * span[1] - 1, d))
        nn.init.normal_(self.height, std=d**-0.5)
        nn.init.normal_(self.width, std=d**-0.5)

    def forward(self, queries: Tensor, span: Pair, stride: int = 1) -> Tensor:
        """Queries (b, h, w, d) -> logits (b, h, w, *span).

        A span that the tables were not made for has them interpolated.
        """
        height, width = _fitted(self.height, span[0]), _fitted(self.width, span[1])
        rows = relative_logits(queries.transpose(1, 2), height, span[0], stride).transpose(1, 2)
        columns = relative_logits(queries, width, span[1], stride)
        return rows[..., None] + columns[..., None, :]


def _fitted(table: Tensor, span: int) -> Tensor:
    """Offsets of another span, both ends kept; the paper has one resolution alone."""
    if len(table) == 2 * span - 1:
        return table
    options = {"mode": "linear", "align_corners": True}
    return F.interpolate(table.T[None], 2 * span - 1, **options).squeeze(0).T


def attend(queries: Tensor, keys: Tensor, values: Tensor, positions: Tensor) -> Tensor:
    """(b, h, w, d) queries, (b, H, W, .) keys and values, (b, h, w, H, W) logits -> (b, h, w, .).

    Written out, for the flops of a fused kernel are not counted.
    """
    logits = queries.flatten(1, 2) @ keys.flatten(1, 2).transpose(1, 2)
    weights = torch.softmax(logits + positions.flatten(3).flatten(1, 2), dim=-1)
    return (weights @ values.flatten(1, 2)).unflatten(1, queries.shape[1:3])


class _Attention(nn.Module):
    """Queries, keys and values of a map by one 1x1 convolution, in heads.

    Where the logits of positions are not scaled, they are those of unscaled queries.

    inner: channels of queries and of keys; None: as those of values, the outputs.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        heads: int,
        span: Pair,
        scaled: bool,
        inner: int | None = None,
    ) -> None:
        super().__init__()
        self.widths = [inner or outputs, inner or outputs, outputs]
        for width in self.widths:
            if width % heads:
                raise ValueError(
                    f"{width} channels do not split into {heads} heads: take a number that divides "
                    "them"
                )
        self.heads, self.scaled = heads, scaled
        self.qkv = nn.Conv2d(inputs, sum(self.widths), 1, bias=False)
        nn.init.trunc_normal_(self.qkv.weight, std=inputs**-0.5)
        self.positions = RelativePositions(span, self.widths[0] // heads)

    def split(self, x: Tensor) -> list[Tensor]:
        """Queries, keys and values, each (n, heads, h, w, d), of a map (n, inputs, h, w)."""
        parts = self.qkv(x).split(self.widths, 1)
        return [each.unflatten(1, (self.heads, -1)).movedim(2, -1) for each in parts]

    def attended(self, queries: Tensor, keys: Tensor, values: Tensor, stride: int = 1) -> Tensor:
        """All (b, h, w, d); those of keys and values may be more."""
        scale = queries.shape[-1] ** -0.5
        scaled = queries * scale
        asking = scaled if self.scaled else queries
        return attend(scaled, keys, values, self.positions(asking, tuple(keys.shape[1:3]), stride))


class BotAttention(_Attention):
    """Every place attends to all: (n, inputs, h, w) -> (n, outputs, h / stride, w / stride).

    Pooled where the stride is 2, as the paper has it. ValueError without the size.

    size: (h, w) that positions are learnt for; of other maps they are interpolated.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int = 1,
        size: Pair | None = None,
        heads: Count = 4,
        scaled: bool = True,
    ) -> None:
        if size is None:
            raise ValueError(
                "bot_attention learns positions of a map: give the backbone `resolution`, the "
                "pixels of the images"
            )
        super().__init__(inputs, outputs, heads, size, scaled)
        # ceil: a convolution of stride 2 rounds up as well
        self.pool = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = (each.flatten(0, 1) for each in self.split(x))
        found = self.attended(queries, keys, values).unflatten(0, (x.shape[0], self.heads))
        return self.pool(found.movedim(1, 3).flatten(3).permute(0, 3, 1, 2))

    @staticmethod
    def divisor(heads: int = 4, **options: Any) -> int:
        """What the channels have to be a multiple of."""
        return heads

    @staticmethod
    def cost(
        inputs: np.ndarray,
        outputs: np.ndarray,
        stride: int,
        size: tuple[np.ndarray, np.ndarray],
        heads: int = 4,
        scaled: bool = True,
    ) -> dict[str, np.ndarray]:
        """{"params", "flops", "acts"} by the rule pycls, of one or of arrays."""
        (h, w), weights, n = size, 3 * inputs * outputs, size[0] * size[1]
        params = weights + (2 * h + 2 * w - 2) * (outputs // heads)
        flops = weights * n + outputs * n * (2 * n + h + w)
        return {"params": params, "flops": flops, "acts": (4 * outputs + heads * (n + h + w)) * n}


class HaloAttention(_Attention):
    """Each block of places attends to itself and to a halo of `halo` places around it.

    (n, inputs, h, w) -> (n, outputs, h / stride, w / stride), of every stride-th query of a block.
    Places outside of the map have keys and values of zero, as in timm.

    inner: channels of queries and of keys; None: as those of values, the outputs.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int = 1,
        size: Pair | None = None,
        heads: int = 8,
        block: int = 8,
        halo: int = 3,
        scaled: bool = True,
        inner: int | None = None,
    ) -> None:
        if block % stride:
            raise ValueError(f"halo_attention: block {block} is no multiple of stride {stride}")
        window = block + 2 * halo
        super().__init__(inputs, outputs, heads, (window, window), scaled, inner)
        self.block, self.halo, self.stride = block, halo, stride

    def forward(self, x: Tensor) -> Tensor:
        (h, w), block, step = x.shape[2:], self.block, self.stride
        # to whole blocks, and keys and values by the halo besides; last but one is the width
        right, below = -w % block, -h % block
        queries, keys, values = self.split(x)
        queries = F.pad(queries, (0, 0, 0, right, 0, below))
        queries = queries.unflatten(3, (-1, block)).unflatten(2, (-1, block))
        queries = queries.transpose(3, 4)[:, :, :, :, ::step, ::step]
        around = (0, 0, self.halo, self.halo + right, self.halo, self.halo + below)
        keys, values = (self._windows(F.pad(each, around)) for each in (keys, values))
        grid = queries.shape[:4]  # images, heads, rows and columns of blocks
        parts = (each.flatten(0, 3) for each in (queries, keys, values))
        found = self.attended(*parts, stride=step).unflatten(0, grid)
        # rows of blocks with rows in them, columns likewise, heads with their channels
        found = found.permute(0, 2, 4, 3, 5, 1, 6).flatten(5).flatten(3, 4).flatten(1, 2)
        return found[:, : -(-h // step), : -(-w // step)].contiguous().permute(0, 3, 1, 2)

    def _windows(self, each: Tensor) -> Tensor:
        """(n, heads, h, w, d) -> (n, heads, rows, columns, window, window, d)."""
        window = self.block + 2 * self.halo
        return each.unfold(2, window, self.block).unfold(3, window, self.block).movedim(4, -1)

    @staticmethod
    def divisor(heads: int = 8, **options: Any) -> int:
        """What the channels have to be a multiple of."""
        return heads

    @staticmethod
    def cost(
        inputs: np.ndarray,
        outputs: np.ndarray,
        stride: int,
        size: tuple[np.ndarray, np.ndarray],
        heads: int = 8,
        block: int = 8,
        halo: int = 3,
        scaled: bool = True,
    ) -> dict[str, np.ndarray]:
        """{"params", "flops", "acts"} by the rule pycls, of one or of arrays."""
        (h, w), weights, window = size, 3 * inputs * outputs, block + 2 * halo
        params = weights + 2 * (2 * window - 1) * (outputs // heads)
        queries = -(-h // block) * -(-w // block) * (block // stride) ** 2
        flops = weights * h * w + outputs * queries * 2 * window * (window + 1)
        logits = heads * queries * window * (window + 2)
        acts = 3 * outputs * h * w + outputs * queries + logits
        return {"params": params, "flops": flops, "acts": acts}
