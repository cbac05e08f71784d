"""R3D, MC3 and R(2+1)D: residual networks over clips, by how they convolve over space and time.

Tran, Wang, Torresani, Ray, LeCun, Paluri 2018, "A Closer Look at Spatiotemporal Convolutions for
Action Recognition", arXiv 1711.11248: section 3, table 1. Ghadiyaram, Tran, Mahajan 2019,
"Large-Scale Weakly-Supervised Pre-training for Video Action Recognition", arXiv 1905.00561,
pretrain R(2+1)D-34 on hashtags (IG-65M): weights by the format `vmz`.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from torch import nn

from models.blocks.expected import clip_row
from models.blocks.layers.video.factorised import (
    Norm,
    conv3d,
    factorised,
    middle_channels,
    spatial,
    whole,
)
from models.blocks.layers.video.videoresnet import (
    Conv,
    VideoTrunk,
    halving,
    same_length,
)
from models.blocks.ranges import Depth, Part, Positive, Stride, Width

__all__ = ["VideoResNet", "expected"]

Kind = Literal["3d", "2plus1d", "2d"]
Middle = Literal["own", "block", "width"]


def _conv(kind: Kind, middle: Middle, time_first: bool, norm: Norm) -> Conv:
    """(inputs, outputs, stride, inputs of the block) -> a convolution of a kind."""

    def made(inputs: int, outputs: int, stride: tuple[int, int, int], block: int) -> nn.Module:
        if kind != "2plus1d":
            return (whole if kind == "3d" else spatial)(inputs, outputs, stride)
        between = outputs
        if middle != "width":
            between = middle_channels(inputs if middle == "own" else block, outputs)
        return factorised(inputs, outputs, stride, between, norm, time_first)

    return made


def _stem(kind: Kind, width: int, middle: int, kernel: int, stride: int, norm: Norm) -> list:
    """Layers of a stem before its last norm."""
    space, step = (1, kernel, kernel), (1, stride, stride)
    if kind != "2plus1d":
        return [conv3d(3, width, space if kind == "2d" else (3, kernel, kernel), step)]
    first = [conv3d(3, middle, space, step), norm(middle), nn.ReLU(inplace=True)]
    return [*first, conv3d(middle, width, (3, 1, 1))]


class VideoResNet(VideoTrunk):
    """R(2+1)D-18 by default; R(2+1)D-34 by depths [3, 4, 6, 3], eps 0.001, momentum 0.9.

    Of the paper's other networks R3D has convolutions and stem `3d`, MC3 convolutions
    [3d, 2d, 2d, 2d] and stem `3d`, R(2+1)D-152 depths [3, 8, 36, 3], block bottleneck, pool true.

    depths: blocks of each stage.
    block: `basic`, or `bottleneck` of 50 layers and more.
    convolutions: `3d`, one 3x3x3; `2plus1d`, a 1x3x3 and a 3x1x1 with a rectifier between; `2d`,
        one 1x3x3, whose stages keep their frames. One for all stages, or a list of one for each.
    middle: channels between the two of `2plus1d`. `own`, as many as make up for a 3x3x3, by the
        paper; `block`, the same by the inputs of the block for all of its convolutions
        (torchvision); `width`, as many as behind them (pytorchvideo).
    time_first: whether the 3x1x1 is before the 1x3x3.
    width: channels of the first stage, in the middle of a bottleneck.
    stem: kind of its convolution; a 3d is 3x7x7.
    stem_width: channels of the stem.
    stem_middle: channels between the two convolutions of a stem 2plus1d.
    stem_kernel: pixels of the stem's kernel; 3 suits small images.
    stem_stride: of the stem's convolution in space.
    pool: whether a max-pool of stride 2 in space ends the stem.
    spatial_strides: of each stage in space; null: 1, then 2.
    time_strides: of each stage in time; null: 1, then 2.
    eps: of the batch norms, added to the variance.
    momentum: weight of a batch in the running statistics.
    """

    def __init__(
        self,
        depths: Sequence[Depth] = (2, 2, 2, 2),
        block: Literal["basic", "bottleneck"] = "basic",
        convolutions: Kind | list[Kind] = "2plus1d",
        middle: Middle = "own",
        time_first: bool = False,
        width: Width = 64,
        stem: Kind = "2plus1d",
        stem_width: Width = 64,
        stem_middle: Width = 45,
        stem_kernel: Literal[3, 5, 7] = 7,
        stem_stride: Stride = 2,
        pool: bool = False,
        spatial_strides: Sequence[Stride] | None = None,
        time_strides: Sequence[Stride] | None = None,
        eps: Positive = 1e-5,
        momentum: Part = 0.1,
    ) -> None:
        kinds = [convolutions] * len(depths) if isinstance(convolutions, str) else convolutions
        spaces, times = spatial_strides or halving(depths), time_strides or halving(depths)
        same_length(depths, convolutions=kinds, spatial_strides=spaces, time_strides=times)
        norm = partial(nn.BatchNorm3d, eps=eps, momentum=momentum)
        times = [1 if kind == "2d" else each for kind, each in zip(kinds, times, strict=True)]
        super().__init__(
            stem=_stem(stem, stem_width, stem_middle, stem_kernel, stem_stride, norm),
            stem_width=stem_width,
            stem_stride=stem_stride,
            pool=pool,
            depths=depths,
            width=width,
            convs=[_conv(kind, middle, time_first, norm) for kind in kinds],
            norm=norm,
            bottleneck=block == "bottleneck",
            spatial_strides=spaces,
            time_strides=times,
        )


IG65M = {"depths": (3, 4, 6, 3), "eps": 1e-3, "momentum": 0.9}
R3D = {"convolutions": "3d", "stem": "3d"}
MC3 = {"convolutions": ["3d", "2d", "2d", "2d"], "stem": "3d"}
DEEP = {"depths": (3, 8, 36, 3), "block": "bottleneck", "pool": True}
BIAS = 400  # of the linear layer, which the rule counts and published figures leave out

expected = [
    clip_row({}, 33_370_839, 8, 112, flops=20_748_256_768 + BIAS),
    clip_row({}, 33_370_839, 16, 112, flops=41_496_308_736 + BIAS),
    clip_row({}, 33_370_839, 32, 112, flops=82_992_412_672 + BIAS),
    # torchvision's three
    clip_row({"middle": "block"}, 31_505_325, 16, 112, flops=40_519_080_960 + BIAS),
    clip_row(R3D, 33_371_472, 16, 112, flops=40_696_553_472 + BIAS),
    clip_row(MC3, 11_695_440, 16, 112, flops=43_342_635_008 + BIAS),
    # IG-65M: fine-tuned to Kinetics, and with its own 487 and 359 classes of 8 and of 32 frames
    clip_row(IG65M, 63_697_175, 8, 112, flops=38_089_082_368 + BIAS),
    clip_row(IG65M, 63_697_175, 16, 112, flops=76_177_959_936 + BIAS),
    clip_row(IG65M, 63_697_175, 32, 112, flops=152_355_715_072 + BIAS),
    clip_row(IG65M, 63_741_806, 8, 112, classes=487),
    clip_row(IG65M, 63_676_142, 32, 112, classes=359),
    clip_row(DEEP, 118_226_785, 8, 112),
]
