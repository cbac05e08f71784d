"""Recursive gated convolution, and the filter of frequencies that may stand for its 7x7.

Rao, Zhao, Tang, Zhou, Lim, Lu 2022, "HorNet: Efficient High-Order Spatial Interactions with
Recursive Gated Convolutions", arXiv 2207.14284, section 3.1, equations 3.4 and 3.5. The filter:
Rao, Zhao, Zhu, Lu, Zhou 2021, "Global Filter Networks for Image Classification", arXiv 2107.00645,
section 3.2.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.layers.patches import ChannelNorm

__all__ = ["GlobalLocalFilter", "RecursiveGatedConv", "global_filter"]


def _small(layer: nn.Conv2d) -> nn.Conv2d:
    """Weights as the authors start them: of deviation 0.02, no bias."""
    nn.init.trunc_normal_(layer.weight, std=0.02)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def global_filter(x: Tensor, weight: Tensor) -> Tensor:
    """x (n, c, h, w) circularly convolved with a filter that is given by its frequencies.

    weight: (c, rows, columns, 2), real and imaginary parts of half a spectrum, (h, w // 2 + 1)
    where it is made for this map, else interpolated. Computed in float32 at least, for transforms
    know no shorter type.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    spectrum = torch.fft.rfft2(wide, norm="ortho")
    weight = weight.to(wide.dtype)
    if weight.shape[1:3] != spectrum.shape[2:]:
        planes = weight.permute(3, 0, 1, 2)
        planes = F.interpolate(planes, spectrum.shape[2:], mode="bilinear", align_corners=True)
        weight = planes.permute(1, 2, 3, 0)
    filtered = spectrum * torch.view_as_complex(weight.contiguous())
    return torch.fft.irfft2(filtered, s=x.shape[2:], norm="ortho").to(x.dtype)


class GlobalLocalFilter(nn.Module):
    """Maps (n, c, h, w): a 3x3 on the first half of the channels, a global filter on the second.

    The authors' name for figure 2's GF; between two norms, the halves interleaved.

    channels: even. size: (h, w) of the map that the filter is made for.
    """

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        half, (h, w) = channels // 2, size
        self.local = nn.Conv2d(half, half, 3, padding=1, groups=half, bias=False)
        _small(self.local)
        self.frequencies = nn.Parameter(torch.empty(half, h, w // 2 + 1, 2))
        nn.init.trunc_normal_(self.frequencies, std=0.02)
        self.before, self.after = ChannelNorm(channels), ChannelNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        near, far = self.before(x).chunk(2, 1)
        both = torch.stack([self.local(near), global_filter(far, self.frequencies)], 2)
        return self.after(both.flatten(1, 2))


class RecursiveGatedConv(nn.Module):
    """gnConv: maps (n, channels, h, w) of the same shape, with interactions of `order` places.

    channels: divisible by 2 ** (order - 1). scale: of what the spatial operator gives, the
    equations' 1 / alpha. size: (h, w) of the map; with it the spatial operator is the global
    filter, without it a depthwise 7x7.
    """

    def __init__(
        self,
        channels: int,
        order: int = 5,
        scale: float = 1 / 3,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        if channels % 2 ** (order - 1):
            raise ValueError(
                f"no gnConv of order {order} has {channels} channels, for each order halves them: "
                f"give a multiple of {2 ** (order - 1)}, or a lower order"
            )
        self.widths, self.scale = [channels >> i for i in reversed(range(order))], scale
        gates = sum(self.widths)
        self.inwards = _small(nn.Conv2d(channels, self.widths[0] + gates, 1))
        self.spatial: nn.Module = (
            GlobalLocalFilter(gates, size)
            if size
            else _small(nn.Conv2d(gates, gates, 7, padding=3, groups=gates))
        )
        self.outwards = _small(nn.Conv2d(channels, channels, 1))
        steps = zip(self.widths[:-1], self.widths[1:], strict=True)
        self.steps = nn.ModuleList(_small(nn.Conv2d(a, b, 1)) for a, b in steps)

    def forward(self, x: Tensor) -> Tensor:
        fused = self.inwards(x)
        x, gates = fused.split([self.widths[0], sum(self.widths)], 1)
        first, *others = (self.spatial(gates) * self.scale).split(self.widths, 1)
        x = x * first
        for step, gate in zip(self.steps, others, strict=True):
            x = step(x) * gate
        return self.outwards(x)
