"""Classes of pixels from the maps of a feature pyramid.

Kirillov, Girshick, He, Dollar 2019, "Panoptic Feature Pyramid Networks", arXiv 1901.02446, section
3, figure 3: each map is brought to the finest one's stride in steps of two, the results are added
up, and a 1x1 convolution gives the classes. Group norm by Wu & He 2018, arXiv 1803.08494.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Semantics"]

GROUPS = 32  # of channels, as the paper's; of fewer channels the most that divide them


class Semantics(nn.Module):
    """Maps of a pyramid (n, width, h / strides[i], w / strides[i]) -> scores of pixels
    (n, classes, h / strides[0], w / strides[0]).

    A map 2^k times coarser than the finest passes k times a 3x3 convolution, a norm, a ReLU and
    bilinear upsampling by two; one as fine as that passes once without upsampling.
    """

    def __init__(
        self,
        strides: Sequence[int],
        width: int,
        classes: int,
        dim: int = 128,
        norm: Literal["group", "batch"] = "group",
    ) -> None:
        """strides: of the maps, the finest first. width: their channels. dim: channels here.

        ValueError where a stride is not the finest one times a power of two.
        """
        super().__init__()
        steps = [_steps(stride, strides[0]) for stride in strides]
        self.scales = nn.ModuleList(_scale(width, dim, count, norm) for count in steps)
        self.classifier = nn.Conv2d(dim, classes, 1)
        nn.init.kaiming_normal_(self.classifier.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.classifier.bias)

    def features(self, pyramid: Sequence[Tensor]) -> Tensor:
        """What the classes are told from, (n, dim, h / strides[0], w / strides[0]).

        Maps of the pyramid beyond the strides, which are coarser, are not looked at.
        """
        scaled = zip(self.scales, pyramid, strict=False)
        return sum(scale(level) for scale, level in scaled)

    def forward(self, pyramid: Sequence[Tensor]) -> Tensor:
        return self.classifier(self.features(pyramid))


class _Doubled(nn.Module):
    """Maps (n, c, h, w) -> (n, c, 2h, 2w)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _steps(stride: int, finest: int) -> int:
    steps = math.log2(stride / finest)
    if steps < 0 or not steps.is_integer():
        raise ValueError(
            f"semantic branch: a map of stride {stride} cannot be doubled to one of stride {finest}"
            ": take a backbone whose strides are doubled from map to map"
        )
    return int(steps)


def _scale(width: int, dim: int, steps: int, norm: str) -> nn.Sequential:
    """From one map to the finest stride."""
    layers: list[nn.Module] = []
    for place in range(max(steps, 1)):
        # without a bias, which the norm would take away with the mean
        conv = nn.Conv2d(dim if place else width, dim, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
        layers += [conv, _norm(norm, dim), nn.ReLU(inplace=True)]
        layers += [_Doubled()] if steps else []
    return nn.Sequential(*layers)


def _norm(norm: str, dim: int) -> nn.Module:
    if norm == "batch":
        return nn.BatchNorm2d(dim)
    return nn.GroupNorm(math.gcd(GROUPS, dim), dim)
