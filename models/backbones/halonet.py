"""HaloNet: residual bottlenecks whose 3x3 attends to blocks of places and a halo around each.

Vaswani, Ramachandran, Srinivas, Parmar, Hechtman, Shlens 2021, "Scaling Local Self-Attention for
Parameter Efficient Visual Backbones", arXiv 2103.12731, section 3 and tables 1 and 2: H0 to H7.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from torch import nn

from models.blocks.expected import network_row
from models.blocks.layers.anynet import AnyNet, Residual
from models.blocks.layers.attention import HaloAttention
from models.blocks.layers.convolution import convolution
from models.blocks.ranges import Count, Depth, Positive, Stride, Whole, Width

__all__ = ["HaloNet", "expected"]


class Block(Residual):
    """1x1 to `inner` channels, attention to `values`, 1x1; the attention has the stride."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        inner: int,
        values: int,
        heads: int,
        block: int,
        halo: int,
        scaled: bool,
    ) -> None:
        size = {"block": block, "halo": halo, "inner": inner}
        branch = [
            *convolution(inputs, inner),
            nn.ReLU(inplace=True),
            HaloAttention(inner, values, stride, heads=heads, scaled=scaled, **size),
            nn.BatchNorm2d(values),
            nn.ReLU(inplace=True),
            *convolution(values, outputs),
        ]
        super().__init__(inputs, outputs, stride, branch)


def pointwise(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """The 1x1 before the pooling."""
    return nn.Sequential(*convolution(inputs, outputs, 1, stride), nn.ReLU(inplace=True))


class HaloNet(AnyNet):
    """H1 by default. Maps of any size are padded with zeros to whole blocks.

    depths: blocks of each stage, the paper's l3 the third.
    width: channels of the first stage's attention; they double where the map halves.
    block: side of a block in places, the paper's b; the stride of a stage divides it.
    halo: places around a block that it attends to as well, the paper's h.
    value_ratio: the paper's r_v, channels of values over those of queries.
    output_ratio: the paper's r_b, channels of a block's output over those of queries.
    heads: of the attention in each stage.
    head_width: channels of a last 1x1, the paper's d_f; 0 for none.
    scaled: whether the logits of positions are scaled as those of contents; timm does not.
    stem: `simple`, one 3x3 of stem_stride, suits small images; `imagenet`, a 7x7 and a max-pool.
    stem_stride: of the stem's convolution.
    stem_width: channels of the stem.
    """

    def __init__(
        self,
        depths: Sequence[Depth] = (3, 3, 10, 3),
        width: Width = 64,
        block: Count = 8,
        halo: Whole = 3,
        value_ratio: Positive = 1.0,
        output_ratio: Positive = 1.0,
        heads: Sequence[Count] = (4, 8, 8, 8),
        head_width: Whole = 0,
        scaled: bool = True,
        stem: Literal["simple", "imagenet"] = "imagenet",
        stem_stride: Stride = 2,
        stem_width: Width = 64,
    ) -> None:
        if len(depths) != len(heads):
            raise ValueError("depths, heads: give each the same number of stages")
        inner = [width << i for i in range(len(depths))]
        same = {"block": block, "halo": halo, "scaled": scaled}
        blocks = [
            partial(Block, inner=w, values=round(w * value_ratio), heads=h, **same)
            for w, h in zip(inner, heads, strict=True)
        ]
        last = 1 if head_width else 0
        super().__init__(
            widths=[*(round(w * output_ratio) for w in inner), head_width][: len(inner) + last],
            depths=[*depths, *[1] * last],
            strides=[1, *[2] * (len(depths) - 1), *[1] * last],
            blocks=[*blocks, *[pointwise] * last],
            stem_kind=stem,
            stem_width=stem_width,
            stem_stride=stem_stride,
        )


def _row(
    size: tuple[int, int, int, float, float, int],
    side: int,
    params: int,
    flops: int,
    acts: int,
    **more: list[int],
) -> dict:
    """One network by (l3, b, h, r_v, r_b, d_f); params of the paper, the others counted here."""
    l3, block, halo, value_ratio, output_ratio, head_width = size
    own = {"block": block, "halo": halo, "head_width": head_width}
    ratios = {"value_ratio": value_ratio, "output_ratio": output_ratio}
    options = {"depths": (3, 3, l3, 3), **own, **ratios, **more}
    return network_row(options, params, side, flops=flops, acts=acts)


_H1 = (10, 8, 3, 1, 1, 0)

expected = [  # H1, H0, H2 to H7: 8.1, 5.5, 9.4, 11.8, 19.1, 30.7, 43.4, 67.4 M in the paper
    _row(_H1, 256, 8_101_352, 3_088_962_536, 37_340_136),
    _row((7, 8, 3, 1, 0.5, 0), 256, 5_502_248, 2_458_774_504, 33_932_264),
    _row((11, 8, 3, 1, 1.25, 0), 256, 9_405_608, 3_411_789_800, 39_076_840),
    _row((12, 10, 3, 1, 1.5, 1024), 320, 11_842_792, 6_318_695_400, 73_498_600),
    _row((12, 12, 2, 1, 3, 1280), 384, 19_103_464, 12_198_841_320, 114_500_584),
    _row((23, 14, 2, 2.5, 2, 1536), 448, 30_718_952, 32_418_644_968, 239_127_272),
    _row((24, 8, 4, 3, 2.75, 1536), 512, 43_458_280, 53_048_996_840, 304_874_472),
    _row((26, 10, 3, 4, 3.5, 2048), 600, 67_434_728, 110_991_607_784, 509_307_368),
    # timm's halonet_h1, which has eight heads everywhere
    _row(_H1, 256, 8_100_056, 3_088_962_536, 48_350_184, heads=[8] * 4),
]
