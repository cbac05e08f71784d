"""HorNet: a transformer's blocks with recursive gated convolution in the place of attention.

Rao, Zhao, Tang, Zhou, Lim, Lu 2022, "HorNet: Efficient High-Order Spatial Interactions with
Recursive Gated Convolutions", arXiv 2207.14284, sections 3.2 and 4.1. Without stochastic depth.
"""

from collections.abc import Sequence
from itertools import accumulate
from operator import mul

import torch
from torch import Tensor, nn

from models.blocks.expected import network_row
from models.blocks.layers.gnconv import RecursiveGatedConv
from models.blocks.layers.patches import WHOLE, ChannelNorm, pad_to, pooled_map
from models.blocks.layers.transformer import MLP
from models.blocks.ranges import Count, Depth, Pixels, Width

__all__ = ["HorNet", "expected"]


class Patches(nn.Module):
    """A convolution of stride `size` over squares of that side; its norm before or after it."""

    def __init__(self, inputs: int, outputs: int, size: int, first: bool) -> None:
        super().__init__()
        self.size = size
        conv = nn.Conv2d(inputs, outputs, size, size)
        nn.init.trunc_normal_(conv.weight, std=0.02)
        nn.init.zeros_(conv.bias)
        norm = ChannelNorm(inputs if first else outputs)
        self.layers = nn.Sequential(norm, conv) if first else nn.Sequential(conv, norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(pad_to(x, self.size))


class Block(nn.Module):
    """gnConv, then an MLP at each place, both on a shortcut that they hardly change at first."""

    def __init__(self, channels: int, order: int, size: tuple[int, int] | None) -> None:
        super().__init__()
        # the authors' start of layer scale, nearly the identity
        self.gamma_space = nn.Parameter(torch.full((channels,), 1e-6))
        self.gamma_channels = nn.Parameter(torch.full((channels,), 1e-6))
        self.norm_space = ChannelNorm(channels)
        self.space = RecursiveGatedConv(channels, order, size=size)
        self.norm_channels = nn.LayerNorm(channels, eps=1e-6)
        self.channels = MLP(channels, 4 * channels, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.gamma_space.view(-1, 1, 1) * self.space(self.norm_space(x))
        # places last but one, where linear layers need no copy of a channels_last map
        places = x.permute(0, 2, 3, 1)
        places = places + self.gamma_channels * self.channels(self.norm_channels(places))
        return places.permute(0, 3, 1, 2)


class HorNet(nn.Module):
    """images (n, 3, h, w) -> a map per stage, and the normed mean of the last one.

    HorNet-T by default, 7x7. That mean, a map of one place, is what the paper's classifier reads.

    width: channels of the first stage; each stage doubles them: 64, 96, 128, 192 for T, S, B, L.
    depths: blocks of each stage.
    orders: of the gnConv in each stage.
    filters: stages, counted from 1, whose gnConv has the global filter: [3, 4] in the paper's GF.
    resolution: side in pixels of the images that the filters are made for; others interpolate.
    """

    def __init__(
        self,
        width: Width = 64,
        depths: Sequence[Depth] = (2, 3, 18, 2),
        orders: Sequence[Count] = (2, 3, 4, 5),
        filters: Sequence[Count] = (),
        resolution: Pixels = 224,
    ) -> None:
        super().__init__()
        if len(depths) != len(orders):
            raise ValueError("depths, orders: give each the same number of stages")
        if any(stage > len(depths) for stage in filters):
            raise ValueError(f"filters = {list(filters)}: the {len(depths)} stages count from 1")
        widths = [width << i for i in range(len(depths))]
        strides = list(accumulate([4] + [2] * (len(depths) - 1), mul))
        self.stem = Patches(3, width, 4, first=False)
        self.stages = nn.ModuleList()
        for i, (w, stride) in enumerate(zip(widths, strides, strict=True)):
            side = -(-resolution // stride)
            size = (side, side) if i + 1 in filters else None
            blocks: list[nn.Module] = [Block(w, orders[i], size) for _ in range(depths[i])]
            if i:
                blocks.insert(0, Patches(widths[i - 1], w, 2, first=True))
            self.stages.append(nn.Sequential(*blocks))
        self.norm = ChannelNorm(widths[-1])
        self.channels, self.strides = [*widths, widths[-1]], [*strides, WHOLE]

    def layers(self) -> list[nn.Module]:
        """The stem, what halves the map, every block and the last norm, from input to output."""
        return [self.stem, *(layer for stage in self.stages for layer in stage), self.norm]

    def forward(self, images: Tensor) -> list[Tensor]:
        x, maps = self.stem(images), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return [*maps, self.norm(pooled_map(x))]


def _row(width: int, filters: list[int], params: int, flops: int, acts: int) -> dict:
    """One network: what the authors' code counts by the same rule."""
    return network_row({"width": width, "filters": filters}, params, flops=flops, acts=acts)


expected = [  # T, S, B, L, each with the 7x7 and with the global filter
    _row(64, [], 22_409_512, 3_987_460_328, 19_071_016),
    _row(64, [3, 4], 22_991_848, 3_905_985_480, 18_175_688),
    _row(96, [], 49_528_264, 8_842_576_744, 28_606_024),
    _row(96, [3, 4], 50_401_768, 8_720_364_472, 27_263_032),
    _row(128, [], 87_256_680, 15_605_284_328, 38_141_032),
    _row(128, [3, 4], 88_421_352, 15_442_334_632, 36_350_376),
    _row(192, [], 194_542_504, 34_853_473_000, 57_211_048),
    _row(192, [3, 4], 196_289_512, 34_609_048_456, 54_525_064),
]
