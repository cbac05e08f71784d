"""ResNet, and the plain networks it is compared with.

He, Zhang, Ren, Sun 2016, "Deep Residual Learning for Image Recognition", arXiv 1512.03385: table 1
and section 4.2. A bottleneck's stride is on its 3x3, not on the first 1x1 as in the paper: so
torchvision, pycls and Goyal et al. 2017.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from torch import nn

from models.blocks.expected import network_row
from models.blocks.layers.anynet import AnyNet, Bottleneck, Residual
from models.blocks.layers.convolution import convolution
from models.blocks.layers.placing import Slots
from models.blocks.ranges import Blocks, Depth, Pixels, Plug, Stride, Width

__all__ = ["ResNet", "expected"]


def _pair(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
    """Two 3x3, the last without its rectifier."""
    return [
        *convolution(inputs, outputs, 3, stride),
        nn.ReLU(inplace=True),
        *convolution(outputs, outputs, 3),
    ]


class Basic(Residual):
    """Two 3x3 and a shortcut (figure 5, left), projected where the shape changes (option B)."""

    def __init__(self, inputs: int, outputs: int, stride: int, **slots: Any) -> None:
        super().__init__(inputs, outputs, stride, _pair(inputs, outputs, stride), **slots)


def _plain(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """The same two 3x3 without a shortcut: pycls's vanilla block."""
    return nn.Sequential(*_pair(inputs, outputs, stride), nn.ReLU(inplace=True))


_BLOCKS = {"bottleneck": (Bottleneck, 4), "basic": (Basic, 1), "plain": (_plain, 1)}


class ResNet(AnyNet):
    """ResNet-50 by default; the width doubles where the map halves.

    Those of section 4.2 have 6n + 2 layers on 32 pixels, by depths [n, n, n], block `basic`, width
    and stem_width 16, stem `simple`, stem_stride 1.

    depths: blocks of each stage.
    block: `bottleneck` of 50 layers and more, `basic` of fewer, or `plain` without a shortcut.
    width: channels of the first stage's 3x3.
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
        block: Literal["bottleneck", "basic", "plain"] = "bottleneck",
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
        kind, expansion = _BLOCKS[block]
        if spatial and block != "bottleneck":
            raise ValueError(f"spatial: a {block} block has no single 3x3: take block bottleneck")
        if after and block == "plain":
            raise ValueError("after: plain blocks have no slots: take block basic or bottleneck")
        super().__init__(
            widths=[expansion * width * 2**i for i in range(len(depths))],
            depths=depths,
            strides=[1] + [2] * (len(depths) - 1),
            blocks=[kind] * len(depths),
            stem_kind=stem,
            stem_width=stem_width,
            stem_stride=stem_stride,
            slots=Slots(norm, spatial, spatial_at, after, after_at, resolution),
        )


def _row(options: dict, side: int, classes: int, params: int, flops: int, acts: int) -> dict:
    """One network of pycls's model_complexity.json."""
    return network_row(options, params, side, classes, flops=flops, acts=acts)


_CIFAR = {"width": 16, "stem": "simple", "stem_stride": 1, "stem_width": 16}

expected = [
    _row({}, 224, 1000, 25_557_032, 4_089_185_256, 11_315_688),
    _row({"depths": (3, 4, 23, 3)}, 224, 1000, 44_549_160, 7_801_406_440, 16_433_640),
    _row({"depths": (3, 8, 36, 3)}, 224, 1000, 60_192_808, 11_513_627_624, 22_755_816),
    # Wu & He 2018, arXiv 1803.08494: group norm has the parameters of batch norm
    _row({"norm": {"name": "group_norm"}}, 224, 1000, 25_557_032, 4_089_185_256, 11_315_688),
    _row({"depths": (9, 9, 9), "block": "basic", **_CIFAR}, 32, 10, 855_770, 125_747_850, 544_778),
    _row(
        {"depths": (18, 18, 18), "block": "basic", **_CIFAR},
        32,
        10,
        1_730_714,
        253_149_834,
        1_060_874,
    ),
    _row({"depths": (9, 9, 9), "block": "plain", **_CIFAR}, 32, 10, 853_018, 125_485_706, 532_490),
]
