"""Residual networks over clips: a stem and stages of basic blocks or bottlenecks.

What R3D, MC3, R(2+1)D (Tran et al. 2018, arXiv 1711.11248, section 3) and CSN (Tran et al. 2019,
arXiv 1904.02811, section 3) share: they differ in the convolutions over space and time.
Kernels and strides are (time, height, width).
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import mul

import torch
from torch import Tensor, nn

from models.blocks.layers.video.factorised import Norm, conv3d

__all__ = ["Conv", "VideoBlock", "VideoTrunk", "halving", "same_length"]

Triple = tuple[int, int, int]
Conv = Callable[[int, int, Triple, int], nn.Module]


def _unit(conv: nn.Module, norm: nn.Module) -> nn.Sequential:
    return nn.Sequential(conv, norm, nn.ReLU(inplace=True))


class VideoBlock(nn.Module):
    """A branch added to a shortcut, which is a projection where the shape changes.

    Starts as the shortcut alone. With `bottleneck` the branch is 1x1x1, conv, 1x1x1 to four times
    the width, otherwise twice conv.

    conv: (inputs, outputs, stride, inputs of the block) -> the convolution over space and time.
    stride: of the first conv, and of the shortcut.
    """

    def __init__(
        self, inputs: int, width: int, stride: Triple, conv: Conv, norm: Norm, bottleneck: bool
    ) -> None:
        super().__init__()
        outputs = 4 * width if bottleneck else width
        if bottleneck:
            first = _unit(conv3d(inputs, width), norm(width))
            second = _unit(conv(width, width, stride, inputs), norm(width))
            last = conv3d(width, outputs)
            parts = [first, second, nn.Sequential(last, norm(outputs))]
        else:
            first = _unit(conv(inputs, width, stride, inputs), norm(width))
            last = conv(width, width, (1, 1, 1), inputs)
            parts = [first, nn.Sequential(last, norm(outputs))]
        # Goyal et al. 2017, arXiv 1706.02677, section 5.1
        nn.init.zeros_(parts[-1][1].weight)
        self.transform = nn.Sequential(*parts)
        same = stride == (1, 1, 1) and inputs == outputs
        projection = [] if same else [conv3d(inputs, outputs, stride=stride), norm(outputs)]
        self.shortcut = nn.Sequential(*projection)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.transform(x).add_(self.shortcut(x)))


def _stem(layers: Sequence[nn.Module], norm: nn.Module, pool: bool) -> nn.Sequential:
    """Layers, norm, rectifier, and with `pool` a 1x3x3 max-pool of stride 2 in space."""
    pools = [nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))] if pool else []
    return nn.Sequential(*layers, norm, nn.ReLU(inplace=True), *pools)


def halving(depths: Sequence[int]) -> list[int]:
    """Strides of the usual stages: the first keeps the size, each behind it halves it."""
    return [1] + [2] * (len(depths) - 1)


def same_length(depths: Sequence[int], **given: Sequence) -> None:
    """ValueError for a list that has not one entry for each stage."""
    for key, values in given.items():
        if len(values) != len(depths):
            raise ValueError(
                f"{key}: {list(values)} has {len(values)} entries, the network {len(depths)} "
                "stages: give one for each"
            )


class VideoTrunk(nn.Module):
    """clips (n, 3, t, h, w) -> a map per stage, (n, channels[i], t / times[i], h / s, w / s).

    s: strides[i], pixels to one step of the i-th map. Sizes are rounded up.

    stem: its layers before its last norm, of stem_width channels and stem_stride pixels to one of
        their map. pool: whether a max-pool of stride 2 in space ends it.
    width: of the first stage; each has twice that of the one before.
    convs: of each stage, as VideoBlock takes it.
    spatial_strides, time_strides: of each stage's first block.
    """

    reads = "clip"
    # what torchvision and VMZ normalise by
    mean = (0.43216, 0.394666, 0.37645)
    std = (0.22803, 0.22145, 0.216989)

    def __init__(
        self,
        stem: Sequence[nn.Module],
        stem_width: int,
        stem_stride: int,
        pool: bool,
        depths: Sequence[int],
        width: int,
        convs: Sequence[Conv],
        norm: Norm,
        bottleneck: bool,
        spatial_strides: Sequence[int],
        time_strides: Sequence[int],
    ) -> None:
        super().__init__()
        expansion, count = 4 if bottleneck else 1, len(depths)
        self.stem, self.stages = _stem(stem, norm(stem_width), pool), nn.ModuleList()
        self.channels = [expansion * width << i for i in range(count)]
        reached = stem_stride * (2 if pool else 1)
        self.strides = list(accumulate(spatial_strides, mul, initial=reached))[1:]
        self.times = list(accumulate(time_strides, mul))
        inputs = stem_width
        for i, depth in enumerate(depths):
            stage = []
            for j in range(depth):
                space, time = (spatial_strides[i], time_strides[i]) if j == 0 else (1, 1)
                stride = (time, space, space)
                stage.append(VideoBlock(inputs, width << i, stride, convs[i], norm, bottleneck))
                inputs = self.channels[i]
            self.stages.append(nn.Sequential(*stage))

    def layers(self) -> list[nn.Module]:
        """The stem and every block, from input to output: what layer-wise rates count by."""
        return [self.stem, *(block for stage in self.stages for block in stage)]

    def forward(self, clips: Tensor) -> list[Tensor]:
        x, maps = self.stem(clips), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps
