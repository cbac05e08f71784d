"""Convolution with batch norm, and squeeze-and-excitation: what blocks are made of."""

from torch import Tensor, nn

__all__ = ["SqueezeExcitation", "convolution"]


def convolution(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Convolution and batch norm; weights as He et al. 2015, arXiv 1502.01852, equation 14."""
    # without a bias, which batch norm would take away with the mean
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return [conv, nn.BatchNorm2d(outputs)]


class SqueezeExcitation(nn.Module):
    """Channels times a gate that their means decide, by way of `squeezed` channels.

    Hu, Shen, Sun 2018, "Squeeze-and-Excitation Networks", arXiv 1709.01507, section 3.
    """

    def __init__(self, channels: int, squeezed: int, activation: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        squeeze, excite = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)
        for conv in (squeeze, excite):
            nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(conv.bias)
        self.gate = nn.Sequential(squeeze, activation(inplace=True), excite, nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x.mean((2, 3), keepdim=True))
