"""ResNeXt, residual bottlenecks whose 3x3 is split into `cardinality` groups.

Xie, Girshick, Dollár, Tu, He 2017, "Aggregated Residual Transformations for Deep Neural Networks",
arXiv 1611.05431: table 1 and figure 3(c). 101 layers of 32x{8,16,32,48}d are the networks of
Mahajan et al. 2018, arXiv 1805.00932.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

from models.blocks.expected import network_row
from models.blocks.layers.anynet import AnyNet, Bottleneck
from models.blocks.layers.placing import Slots
from models.blocks.ranges import Blocks, Depth, Pixels, Plug, Stride, Width

__all__ = ["ResNeXt", "expected"]


class ResNeXt(AnyNet):
    """ResNeXt cardinality x group_width d: group and stage widths double where the map halves.

    depths: blocks of each stage.
    cardinality: groups of each 3x3.
    group_width: channels per group in the first stage.
    width: a quarter of the first stage's output.
    stem: `simple`, one 3x3 of stem_stride, suits small images; `imagenet`, a 7x7 and a max-pool.
    stem_stride: of the stem's convolution.
    stem_width: channels of the stem.
    norm: in the place of batch norm.
    spatial: in the place of the 3x3 of the blocks of spatial_at.
    spatial_at: `all` blocks, the `last` of each stage, or a list with an entry for each stage: all,
        last, or the numbers of blocks from 0.
    after: after the blocks of after_at, or on their branches, as its paper has it.
    after_at: as spatial_at.
    resolution: pixels of the images that a spatial slot learns positions of, if it does.
    """

    def __init__(
        self,
        depths: Sequence[Depth] = (3, 4, 6, 3),
        cardinality: Width = 32,
        group_width: Width = 4,
        width: Width = 64,
        stem: Literal["simple", "imagenet"] = "imagenet",
        stem_stride: Stride = 2,
        stem_width: Width = 64,
        norm: Plug[Callable, "slots"] | None = None,  # noqa: F821
        spatial: Plug[Callable, "slots"] | None = None,  # noqa: F821
        spatial_at: Blocks = "all",
        after: Plug[Callable, "slots"] | None = None,  # noqa: F821
        after_at: Blocks = "all",
        resolution: Pixels | None = None,
    ) -> None:
        doubling = [2**i for i in range(len(depths))]
        ratio = 4 * width / (cardinality * group_width)
        super().__init__(
            widths=[4 * width * k for k in doubling],
            depths=depths,
            strides=[1] + [2] * (len(depths) - 1),
            blocks=[
                partial(Bottleneck, ratio=ratio, group_width=group_width * k) for k in doubling
            ],
            stem_kind=stem,
            stem_width=stem_width,
            stem_stride=stem_stride,
            slots=Slots(norm, spatial, spatial_at, after, after_at, resolution),
        )


_101 = (3, 4, 23, 3)

expected = [
    network_row({}, 25_028_904, flops=4_230_480_872, acts=14_602_216),
    network_row({"depths": _101}, 44_177_704, flops=7_969_997_800, acts=21_426_152),
    network_row({"depths": (3, 8, 36, 3)}, 59_951_400, flops=11_709_514_728, acts=29_855_720),
    network_row({"depths": _101, "group_width": 8}, 88_791_336),
    network_row({"depths": _101, "cardinality": 64}, 83_455_272),  # torchvision's 64x4d
    network_row({"depths": _101, "group_width": 16}, 194_026_792),
    network_row({"depths": _101, "group_width": 32}, 468_530_472),
    network_row({"depths": _101, "group_width": 48}, 828_411_176),
]
