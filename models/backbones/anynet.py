"""AnyNetX: each stage is free in its width, depth, bottleneck ratio and group width.

Radosavovic, Kosaraju, Girshick, He, Dollár 2020, "Designing Network Design Spaces", arXiv
2003.13678, section 3.2.
"""

from collections.abc import Callable, Sequence
from functools import partial

from models.blocks.layers import anynet
from models.blocks.layers.anynet import Bottleneck, fit_groups
from models.blocks.layers.placing import Slots
from models.blocks.ranges import Blocks, Count, Depth, Pixels, Plug, Positive, Share, Stride, Width

__all__ = ["AnyNet", "expected"]


class AnyNet(anynet.AnyNet):
    """A stem and stages that each halve the map.

    A width that its groups do not divide becomes the nearest that fits.

    depths: blocks of each stage.
    widths: channels of each stage.
    bottleneck_ratios: the paper's b of each stage, block width over bottleneck width.
    group_widths: its g of each stage, channels per group.
    se_ratio: squeezed channels over a block's inputs; 0 for no squeeze-and-excitation.
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
        depths: Sequence[Depth],
        widths: Sequence[Width],
        bottleneck_ratios: Sequence[Positive],
        group_widths: Sequence[Count],
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
        if not len(depths) == len(widths) == len(bottleneck_ratios) == len(group_widths):
            raise ValueError(
                "depths, widths, bottleneck_ratios, group_widths: give each the same number of "
                "stages"
            )
        widths, groups = fit_groups(widths, bottleneck_ratios, group_widths)
        blocks = [
            partial(Bottleneck, ratio=b, group_width=g, se_ratio=se_ratio)
            for b, g in zip(bottleneck_ratios, groups, strict=True)
        ]
        super().__init__(
            widths,
            depths,
            [2] * len(depths),
            blocks,
            stem_width=stem_width,
            stem_stride=stem_stride,
            slots=Slots(norm, spatial, spatial_at, after, after_at, resolution),
        )


expected = [  # RegNetX-400MF of the authors' model_complexity.json (pycls), stage by stage
    {
        "options": {
            "depths": [1, 2, 7, 12],
            "widths": [32, 64, 160, 384],
            "bottleneck_ratios": [1] * 4,
            "group_widths": [16] * 4,
        },
        "input": (3, 224, 224),
        "classes": 1000,
        "rule": "pycls",
        "params": 5_157_512,
        "flops": 397_678_568,
        "acts": 3_143_272,
    }
]
