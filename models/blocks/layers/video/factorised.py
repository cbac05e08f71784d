"""Convolutions over time and space, whole or in two: what R3D, MC3 and R(2+1)D are made of.

Tran, Wang, Torresani, Ray, LeCun, Paluri 2018, "A Closer Look at Spatiotemporal Convolutions for
Action Recognition", arXiv 1711.11248, section 3. Kernels and strides are (time, height, width).
"""

from collections.abc import Callable

from torch import nn

from models.blocks.layers.video.overtime import OverTime

__all__ = ["Norm", "conv3d", "factorised", "middle_channels", "spatial", "whole"]

Norm = Callable[[int], nn.Module]


def conv3d(
    inputs: int,
    outputs: int,
    kernel: tuple[int, int, int] = (1, 1, 1),
    stride: tuple[int, int, int] = (1, 1, 1),
) -> nn.Conv3d:
    """Padded, without a bias; weights as He et al. 2015, arXiv 1502.01852, equation 14."""
    kind = OverTime if (*kernel[1:], *stride[1:]) == (1, 1, 1, 1) else nn.Conv3d
    padding = tuple(side // 2 for side in kernel)
    conv = kind(inputs, outputs, kernel, stride, padding, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


def middle_channels(inputs: int, outputs: int) -> int:
    """Channels between 1x3x3 and 3x1x1 that make up for one 3x3x3 in parameters.

    M of section 3.5, for t = d = 3; at least one.
    """
    return max(1, 27 * inputs * outputs // (9 * inputs + 3 * outputs))


def whole(inputs: int, outputs: int, stride: tuple[int, int, int]) -> nn.Module:
    """One 3x3x3."""
    return conv3d(inputs, outputs, (3, 3, 3), stride)


def spatial(inputs: int, outputs: int, stride: tuple[int, int, int]) -> nn.Module:
    """One 1x3x3, which never strides over time."""
    return conv3d(inputs, outputs, (1, 3, 3), (1, *stride[1:]))


def factorised(
    inputs: int,
    outputs: int,
    stride: tuple[int, int, int],
    middle: int,
    norm: Norm,
    time_first: bool = False,
) -> nn.Sequential:
    """1x3x3, norm, rectifier, 3x1x1; with time_first the 3x1x1 comes first."""
    over_space, over_time = ((1, 3, 3), (1, *stride[1:])), ((3, 1, 1), (stride[0], 1, 1))
    first, second = (over_time, over_space) if time_first else (over_space, over_time)
    return nn.Sequential(
        conv3d(inputs, middle, *first),
        norm(middle),
        nn.ReLU(inplace=True),
        conv3d(middle, outputs, *second),
    )
