"""What X3D is made of: its stem, its bottleneck with a channelwise 3x3x3, and its last layers.

Feichtenhofer 2020, "X3D: Expanding Architectures for Efficient Video Recognition", arXiv
2004.04730, table 1.
"""

import torch
from torch import Tensor, nn

from models.blocks.layers.video.depthwise import DepthwiseConv3d
from models.blocks.layers.video.factorised import conv3d
from models.blocks.layers.video.pointwise import PointwiseConv3d

__all__ = ["Bottleneck", "Embedding", "Stem"]


def started(conv: nn.Conv3d) -> nn.Conv3d:
    """With weights as He et al. 2015, arXiv 1502.01852, equation 14, have them; biases at zero."""
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def pointwise(inputs: int, outputs: int, stride: int = 1, bias: bool = False) -> nn.Conv3d:
    """1x1x1; the stride is one of space."""
    return started(PointwiseConv3d(inputs, outputs, stride, bias))


def channelwise(
    channels: int, kernel: int | tuple[int, int, int] = 3, stride: int = 1
) -> nn.Conv3d:
    """Each channel by itself, without a bias; the stride is one of space."""
    return started(DepthwiseConv3d(channels, kernel, (1, stride, stride)))


class Stem(nn.Sequential):
    """A 1x3x3 that has the stride, and a channelwise 5x1x1 behind it."""

    def __init__(self, outputs: int, stride: int) -> None:
        super().__init__(
            conv3d(3, outputs, (1, 3, 3), (1, stride, stride)),
            channelwise(outputs, (5, 1, 1)),
            nn.BatchNorm3d(outputs),
            nn.ReLU(inplace=True),
        )


class SqueezeExcitation(nn.Module):
    """Channels of clips times a gate that their means over time and space decide.

    Hu, Shen, Sun 2018, "Squeeze-and-Excitation Networks", arXiv 1709.01507, section 3.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            pointwise(channels, squeezed, bias=True),
            nn.ReLU(inplace=True),
            pointwise(squeezed, channels, bias=True),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean((2, 3, 4), keepdim=True))


class Bottleneck(nn.Module):
    """1x1x1 to `inner` channels, channelwise 3x3x3 with the stride of space, swish, 1x1x1.

    Starts as its shortcut.

    squeezed: channels of its gate, of squeeze-and-excitation; 0 for no gate.
    shortcut_norm: batch norm on a shortcut that halves the map and keeps its channels.
    """

    def __init__(
        self,
        inputs: int,
        inner: int,
        outputs: int,
        stride: int,
        squeezed: int,
        shortcut_norm: bool = False,
    ) -> None:
        super().__init__()
        shortcut = []
        if stride > 1 or inputs != outputs:
            shortcut = [pointwise(inputs, outputs, stride)]
        if inputs != outputs or (shortcut and shortcut_norm):
            shortcut.append(nn.BatchNorm3d(outputs))
        self.shortcut = nn.Sequential(*shortcut)
        gate = [SqueezeExcitation(inner, squeezed)] if squeezed else []
        self.transform = nn.Sequential(
            pointwise(inputs, inner),
            nn.BatchNorm3d(inner),
            nn.ReLU(inplace=True),
            channelwise(inner, 3, stride),
            nn.BatchNorm3d(inner),
            *gate,
            nn.SiLU(inplace=True),
            pointwise(inner, outputs),
            nn.BatchNorm3d(outputs),
        )
        nn.init.zeros_(self.transform[-1].weight)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.transform(x).add_(self.shortcut(x)))


class Embedding(nn.Module):
    """The last map (n, inputs, t, h, w) as a vector (n, outputs, 1, 1, 1).

    A 1x1x1 to `inner` channels, the mean over time and space, and a layer without a norm.

    drop: dropout of the vector.
    """

    def __init__(self, inputs: int, inner: int, outputs: int, drop: float) -> None:
        super().__init__()
        self.expand = nn.Sequential(
            pointwise(inputs, inner), nn.BatchNorm3d(inner), nn.ReLU(inplace=True)
        )
        self.project = nn.Sequential(
            pointwise(inner, outputs), nn.ReLU(inplace=True), nn.Dropout(drop)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.expand(x).mean((2, 3, 4), keepdim=True))
