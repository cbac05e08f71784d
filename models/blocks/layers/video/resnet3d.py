"""What residual networks of clips are made of: a stem, bottlenecks, kernels over time.

Feichtenhofer, Fan, Malik, He 2019, "SlowFast Networks for Video Recognition", arXiv 1812.03982,
table 1; Wang, Girshick, Gupta, He 2018, "Non-local Neural Networks", arXiv 1711.07971, table 1 and
section 3.3. Names of the tensors are those of the same networks of images.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from torch import nn

from models.blocks.layers.anynet import Residual
from models.blocks.layers.placing import check_blocks, chosen
from models.blocks.layers.video.overtime import OverTime
from models.blocks.ranges import Blocks, Kernel

__all__ = ["Bottleneck3d", "Temporal", "convolution3d", "kernels_of", "stem3d"]

Temporal = Literal["c2d", "i3d", "slow", "fast"] | list[list[Kernel]]


def convolution3d(
    inputs: int,
    outputs: int,
    kernel: int | tuple[int, int, int] = 1,
    stride: int | tuple[int, int, int] = 1,
) -> list[nn.Module]:
    """Convolution over (time, height, width) and batch norm; a stride is in space, or of all three.

    Weights as He et al. 2015, arXiv 1502.01852, equation 14.
    """
    kernel = (kernel,) * 3 if isinstance(kernel, int) else kernel
    stride = (1, stride, stride) if isinstance(stride, int) else stride
    kind = OverTime if (*kernel[1:], *stride[1:]) == (1, 1, 1, 1) else nn.Conv3d
    padding = tuple(size // 2 for size in kernel)
    conv = kind(inputs, outputs, kernel, stride, padding, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return [conv, nn.BatchNorm3d(outputs)]


class Bottleneck3d(Residual):
    """k x 1 x 1 over k frames, 1 x 3 x 3 with the stride, 1 x 1 x 1, and a shortcut.

    time: frames of the first kernel.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        time: int = 1,
        slots: Mapping[str, nn.Module] = MappingProxyType({}),
    ) -> None:
        inner = outputs // 4
        branch = [
            *convolution3d(inputs, inner, (time, 1, 1)),
            nn.ReLU(inplace=True),
            *convolution3d(inner, inner, (1, 3, 3), stride),
            nn.ReLU(inplace=True),
            *convolution3d(inner, outputs),
        ]
        super().__init__(inputs, outputs, stride, branch, slots, convolution3d)


def stem3d(kind: str, width: int, stride: int, time: int) -> nn.Sequential:
    """First layers: `simple` is one 3x3 over `time` frames, `imagenet` a 7x7 and a max-pool."""
    side = {"simple": 3, "imagenet": 7}[kind]
    layers = [*convolution3d(3, width, (time, side, side), stride), nn.ReLU(inplace=True)]
    if kind == "imagenet":
        layers.append(nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)))
    return nn.Sequential(*layers)


def kernels_of(
    temporal: Temporal, depths: Sequence[int], at: Blocks = "all"
) -> tuple[int, list[list[int]]]:
    """Frames of the stem's kernel, and of the kernel of each block of each stage.

    temporal: a network of the papers, or what it stands for: a list for the stem and one for each
    stage, whose numbers its blocks take in turn. at: blocks that have them; the others have 1.
    ValueError for a list of another length than the network.
    """
    told = _table(temporal, len(depths)) if isinstance(temporal, str) else temporal
    if len(told) != len(depths) + 1 or not all(told) or len(told[0]) != 1:
        raise ValueError(
            f"temporal: {told} is not for {len(depths)} stages: give a list of one number for the "
            "stem, then a list for each stage, as [[1], [1], [1], [3], [3, 1]]"
        )
    check_blocks("temporal_at", at, depths)
    found = []
    for i, (depth, sizes) in enumerate(zip(depths, told[1:], strict=True)):
        turns = [sizes[j % len(sizes)] for j in range(depth)]
        found.append([size if chosen(at, i, j, depth) else 1 for j, size in enumerate(turns)])
    return told[0][0], found


def _table(name: str, stages: int) -> list[list[int]]:
    """Of four stages that of the papers; of others its rule."""
    if name == "i3d":
        return [[5], [3], *[[3, 1]] * (stages - 2), [1, 3]][: stages + 1]
    stem, early, late = {"c2d": (1, 1, 1), "slow": (1, 1, 3), "fast": (5, 3, 3)}[name]
    return [[stem], *([early if i < stages - 2 else late] for i in range(stages))]
