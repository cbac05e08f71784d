"""Channel-separated networks: residual networks over clips whose 3x3x3 are of one channel each.

Tran, Wang, Torresani, Feiszli 2019, "Video Classification with Channel-Separated Convolutional
Networks", arXiv 1904.02811: section 3.2, figure 2, table 2.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from torch import nn

from models.blocks.expected import clip_row
from models.blocks.layers.video.channelwise import interaction_preserved, interaction_reduced
from models.blocks.layers.video.factorised import conv3d
from models.blocks.layers.video.videoresnet import VideoTrunk, halving, same_length
from models.blocks.ranges import Depth, Part, Positive, Stride, Width

__all__ = ["CSN", "expected"]


class CSN(VideoTrunk):
    """ir-CSN-50 by default; 101 and 152 by depths [3, 4, 23, 3] and [3, 8, 36, 3].

    Of bottlenecks, with a stem of 3x7x7 and a max-pool. VMZ's have eps 0.001 and momentum 0.9.

    depths: blocks of each stage.
    interaction: `reduced`, a channelwise 3x3x3 in the place of a whole one; `preserved`, a 1x1x1
        with a norm before it, so that the layer still mixes channels.
    width: channels of the first stage, in the middle of a bottleneck.
    stem_width: channels of the stem.
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
        depths: Sequence[Depth] = (3, 4, 6, 3),
        interaction: Literal["reduced", "preserved"] = "reduced",
        width: Width = 64,
        stem_width: Width = 64,
        stem_kernel: Literal[3, 5, 7] = 7,
        stem_stride: Stride = 2,
        pool: bool = True,
        spatial_strides: Sequence[Stride] | None = None,
        time_strides: Sequence[Stride] | None = None,
        eps: Positive = 1e-5,
        momentum: Part = 0.1,
    ) -> None:
        spaces, times = spatial_strides or halving(depths), time_strides or halving(depths)
        same_length(depths, spatial_strides=spaces, time_strides=times)
        norm = partial(nn.BatchNorm3d, eps=eps, momentum=momentum)

        def conv(inputs: int, outputs: int, stride: tuple[int, int, int], block: int) -> nn.Module:
            assert inputs == outputs, "in the middle of a bottleneck"
            if interaction == "reduced":
                return interaction_reduced(outputs, stride)
            return interaction_preserved(outputs, stride, norm)

        kernel, step = (3, stem_kernel, stem_kernel), (1, stem_stride, stem_stride)
        super().__init__(
            stem=[conv3d(3, stem_width, kernel, step)],
            stem_width=stem_width,
            stem_stride=stem_stride,
            pool=pool,
            depths=depths,
            width=width,
            convs=[conv] * len(depths),
            norm=norm,
            bottleneck=True,
            spatial_strides=spaces,
            time_strides=times,
        )


PRESERVED = {"interaction": "preserved"}
MIDDLE, DEEP = {"depths": (3, 4, 23, 3)}, {"depths": (3, 8, 36, 3)}
BIAS = 400  # of the linear layer, which the rule counts and published figures leave out

expected = [
    clip_row({}, 13_131_152, 32, 224, flops=42_308_519_936 + BIAS),
    clip_row(PRESERVED, 14_396_176, 32, 224, flops=47_652_063_232 + BIAS),
    clip_row(MIDDLE, 22_213_776, 32, 224, flops=56_468_187_136 + BIAS),
    clip_row(MIDDLE | PRESERVED, 24_601_616, 32, 224, flops=63_558_658_048 + BIAS),
    clip_row(DEEP, 29_703_568, 32, 224, flops=74_046_244_864 + BIAS),
    clip_row(DEEP | PRESERVED, 33_016_592, 32, 224, flops=83_294_685_184 + BIAS),
]
