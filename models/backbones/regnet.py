"""RegNet, networks whose widths are a quantised linear function of the block index.

Radosavovic, Kosaraju, Girshick, He, Dollár 2020, "Designing Network Design Spaces", arXiv
2003.13678: section 3.3, equations 2 to 4, and the models of section 5: RegNetX, and RegNetY with
squeeze-and-excitation.
"""

from collections.abc import Callable
from functools import partial

from models.blocks.expected import network_row
from models.blocks.layers.anynet import AnyNet, Bottleneck, regnet_stages
from models.blocks.layers.placing import Slots
from models.blocks.ranges import (
    Blocks,
    Count,
    Depth,
    Growth,
    Least,
    Pixels,
    Plug,
    Positive,
    Share,
    Stride,
    Width,
)

__all__ = ["RegNet", "expected"]


class RegNet(AnyNet):
    """RegNetX by the paper's parameters.

    Every stage halves the map, and their number follows from the widths.

    depth: blocks of all stages, the paper's d.
    w_0: channels of the first block.
    w_a: channels that each block adds before widths are quantised.
    w_m: factor from stage to stage that widths are quantised to.
    group_width: channels per group, the paper's g.
    bottleneck_ratio: the paper's b, block width over bottleneck width.
    se_ratio: 0.25 for RegNetY, squeezed channels over a block's inputs.
    stem_width: channels of the stem.
    stem_stride: of the stem's convolution; 1 suits images of 32 pixels.
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
        depth: Depth,
        w_0: Width,
        w_a: Least,
        w_m: Growth,
        group_width: Count,
        bottleneck_ratio: Positive = 1.0,
        se_ratio: Share = 0.0,
        stem_width: Width = 32,
        stem_stride: Stride = 2,
        norm: Plug[Callable, "slots"] | None = None,  # noqa: F821
        spatial: Plug[Callable, "slots"] | None = None,  # noqa: F821
        spatial_at: Blocks = "all",
        after: Plug[Callable, "slots"] | None = None,  # noqa: F821
        after_at: Blocks = "all",
        resolution: Pixels | None = None,
    ) -> None:
        depths, widths, _, groups = regnet_stages(
            depth, w_0, w_a, w_m, bottleneck_ratio, group_width
        ).values()
        blocks = [
            partial(Bottleneck, ratio=bottleneck_ratio, group_width=g, se_ratio=se_ratio)
            for g in groups
        ]
        super().__init__(
            widths,
            depths,
            [2] * len(widths),
            blocks,
            stem_width=stem_width,
            stem_stride=stem_stride,
            slots=Slots(norm, spatial, spatial_at, after, after_at, resolution),
        )


def _row(
    depth: int, w_0: int, w_a: float, w_m: float, g: int, params: int, flops: int, acts: int, **more
) -> dict:
    """One RegNet of the authors' model_complexity.json (pycls)."""
    options = {"depth": depth, "w_0": w_0, "w_a": w_a, "w_m": w_m, "group_width": g, **more}
    return network_row(options, params, flops=flops, acts=acts)


expected = [
    _row(13, 24, 36.44, 2.49, 8, 2_684_792, 199_040_872, 2_164_056),
    _row(22, 24, 24.48, 2.54, 16, 5_157_512, 397_678_568, 3_143_272),
    _row(16, 48, 36.97, 2.24, 24, 6_196_040, 600_891_112, 3_975_096),
    _row(16, 56, 35.73, 2.28, 16, 7_259_656, 799_700_712, 5_148_744),
    _row(18, 80, 34.01, 2.25, 24, 9_190_136, 1_602_850_792, 7_933_512),
    _row(23, 320, 69.86, 2.0, 168, 107_811_560, 31_735_930_792, 36_302_160),
    _row(13, 24, 36.44, 2.49, 8, 3_162_996, 199_519_076, 2_168_052, se_ratio=0.25),
    _row(16, 48, 27.89, 2.09, 8, 4_344_144, 401_849_056, 3_892_496, se_ratio=0.25),
    _row(14, 56, 38.84, 2.4, 16, 6_263_168, 797_183_328, 5_249_888, se_ratio=0.25),
]
