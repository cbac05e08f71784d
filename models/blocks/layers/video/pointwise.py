"""A 1x1x1 convolution over clips that is one product of matrices on CPUs.

With channels last in memory a clip is already a matrix of places and channels. torch's own
convolution, which on CPUs goes by another way for clips in planes, takes up to several times as
long for the gradients. Outputs are those of torch to rounding, and weights fit those of nn.Conv3d.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["PointwiseConv3d"]


class PointwiseConv3d(nn.Conv3d):
    """(n, inputs, t, h, w) -> (n, outputs, t, h', w'), each place by itself.

    Weights as those of nn.Conv3d(inputs, outputs, 1). On a CPU the output is channels last in
    memory.

    stride: of height and width: places between are left out.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, bias: bool = False) -> None:
        super().__init__(inputs, outputs, 1, (1, stride, stride), bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or torch.compiler.is_compiling() or torch.jit.is_tracing():
            return super().forward(x)
        _, height, width = self.stride
        rows = x[..., ::height, ::width].permute(0, 2, 3, 4, 1)
        return F.linear(rows, self.weight.flatten(1), self.bias).permute(0, 4, 1, 2, 3)
