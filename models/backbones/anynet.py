"""AnyNetX: each stage is free in its width, depth, bottleneck ratio and group width.

Radosavovic, Kosaraju, Girshick, He, Dollár 2020, "Designing Network Design Spaces", arXiv
2003.13678, section 3.2.
"""

from collections.abc import Sequence
from functools import partial

from models.blocks.layers import anynet
from models.blocks.layers.anynet import Bottleneck, fit_groups
from models.blocks.ranges import Count, Depth, Positive, Share, Stride, Width

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
