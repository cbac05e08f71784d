"""AnyNet: a stem and stages of blocks, which is what every convolutional backbone here is.

The residual bottleneck.

Radosavovic, Kosaraju, Girshick, He, Dollár 2020, "Designing Network Design Spaces", arXiv
2003.13678: sections 3.2 (AnyNet, X block) and 3.3 (quantised linear widths). Initialised as Goyal
et al. 2017, arXiv 1706.02677, section 5.1.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate, compress, groupby
from math import log
from operator import mul
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

from models.blocks.layers.convolution import SqueezeExcitation, convolution
from models.blocks.layers.norms import renormalised
from models.blocks.layers.placing import EMPTY, Slots

__all__ = [
    "AnyNet",
    "Bottleneck",
    "Residual",
    "bottlenecks",
    "fit_group_arrays",
    "fit_groups",
    "quantised_stages",
    "regnet_stages",
]


def quantised_stages(
    depth: int, w_0: int, w_a: float, w_m: float
) -> tuple[list[int], list[int], bool]:
    """(stage widths, stage depths, whether the widths skip a power of w_m).

    Equations 2 to 4 of the paper.
    """
    if depth < 1 or w_0 < 8 or w_0 % 8 or w_a < 0 or w_m <= 1:
        raise ValueError(
            f"no RegNet has depth={depth}, w_0={w_0}, w_a={w_a}, w_m={w_m}: "
            "give depth >= 1, w_0 a positive multiple of 8, w_a >= 0 and w_m > 1"
        )
    # Both roundings are half to even, as in the authors' code: torchvision, which rounds in
    # another way, gets other networks.
    powers = [round(log((w_0 + w_a * j) / w_0) / log(w_m)) for j in range(depth)]
    blocks = [8 * round(w_0 * w_m**power / 8) for power in powers]
    widths, depths = [], []
    for width, run in groupby(blocks):
        widths.append(width)
        depths.append(len(list(run)))
    return widths, depths, len(widths) != powers[-1] + 1


def fit_groups(
    widths: Sequence[int], ratios: Sequence[float], group_widths: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Nearest widths, and group widths, such that groups divide each bottleneck.

    The block compatibility of pycls.

    ratios: the paper's b, block width over bottleneck width (below 1 the bottleneck is inverted).
    """
    fit, inner, groups = fit_group_arrays(*map(np.array, (widths, ratios, group_widths)))
    for w, b, g in compress(zip(widths, ratios, group_widths, strict=True), inner % groups):
        raise ValueError(
            f"bottleneck ratio {b} does not fit width {w}, group width {g}: use 1, 2, 4 or 1/2, 1/4"
        )
    return fit.tolist(), groups.tolist()


def fit_group_arrays(
    widths: np.ndarray, ratios: np.ndarray, group_widths: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Widths, bottleneck widths and group widths that go together, as arrays of any shape.

    See fit_groups.
    """
    v = np.maximum(1, (widths / ratios).astype(np.int64))
    g = np.minimum(group_widths, v)  # a group is no wider than its bottleneck
    inverted = ratios < 1
    m = g
    if inverted.any():
        m = np.where(inverted, np.lcm(g, np.rint(1 / ratios).astype(np.int64)), g)
    v = np.maximum(m, np.rint(v / m).astype(np.int64) * m)
    w = (v * ratios).astype(np.int64)
    return w, np.rint(w / ratios).astype(np.int64), g


def regnet_stages(
    depth: int, w_0: int, w_a: float, w_m: float, bottleneck_ratio: float, group_width: int
) -> dict[str, list]:
    """The stages of a RegNet as options of backbones/anynet, group widths fitted."""
    widths, depths, _ = quantised_stages(depth, w_0, w_a, w_m)
    ratios, groups = [bottleneck_ratio] * len(widths), [group_width] * len(widths)
    widths, groups = fit_groups(widths, ratios, groups)
    return {"depths": depths, "widths": widths, "bottleneck_ratios": ratios, "group_widths": groups}


def stem(kind: str, width: int, stride: int, activation: type[nn.Module]) -> nn.Sequential:
    """First layers: `simple` is one 3x3 (RegNet), `imagenet` a 7x7 and a max-pool (ResNet)."""
    if kind == "simple":
        return nn.Sequential(*convolution(3, width, 3, stride), activation(inplace=True))
    if kind == "imagenet":
        return nn.Sequential(
            *convolution(3, width, 7, stride), activation(inplace=True), nn.MaxPool2d(3, 2, 1)
        )
    raise ValueError(f"unknown stem {kind!r}: choose simple or imagenet")


class Residual(nn.Module):
    """A branch added to a shortcut, which is a projection where the shape changes.

    Starts as the shortcut alone.

    slots: modules by their place, `branch` on the branch's output and `after` on the block's.
    convolve: (inputs, outputs, kernel, stride) -> the layers of the projection.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        branch: list[nn.Module],
        slots: Mapping[str, nn.Module] = MappingProxyType({}),
        convolve: Callable[[int, int, int, int], list[nn.Module]] = convolution,
    ) -> None:
        super().__init__()
        self.transform = nn.Sequential(*branch)
        # the branch's last gamma alone (Goyal et al. 2017, section 5.1): that of the shortcut has
        # to let the signal through
        nn.init.zeros_(self.transform[-1].weight)
        same = stride == 1 and inputs == outputs
        self.shortcut = (
            nn.Identity() if same else nn.Sequential(*convolve(inputs, outputs, 1, stride))
        )
        # an identity has no weights, so that a block without slots has no keys for them
        self.branch = slots.get("branch", nn.Identity())
        self.after = slots.get("after", nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        branch, shortcut = self.branch(self.transform(x)), self.shortcut(x)
        # in place where a norm gave it, for no gradient needs its output; a slot's may be needed
        last = isinstance(self.branch, nn.Identity)
        return self.after(torch.relu_(branch.add_(shortcut) if last else branch + shortcut))


class Bottleneck(Residual):
    """1x1, grouped 3x3, 1x1; the 3x3 has the stride.

    On the first 1x1 it would skip three quarters of the input.

    ratio: outputs over bottleneck width. group_width: channels per group, 0 for a single group.
    se_ratio: squeezed channels of a squeeze-and-excitation after the 3x3 over the block's inputs, 0
    for none.
    spatial: (inner, inner, stride) -> what stands in the place of the 3x3, batch norm aside.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        ratio: float = 4,
        group_width: int = 0,
        se_ratio: float = 0,
        spatial: Callable[[int, int, int], nn.Module] | None = None,
        slots: Mapping[str, nn.Module] = MappingProxyType({}),
    ) -> None:
        inner, squeezed = round(outputs / ratio), round(inputs * se_ratio)
        branch = [
            *convolution(inputs, inner),
            nn.ReLU(inplace=True),
            *(
                [spatial(inner, inner, stride), nn.BatchNorm2d(inner)]
                if spatial
                else convolution(inner, inner, 3, stride, inner // (group_width or inner))
            ),
            nn.ReLU(inplace=True),
            *([SqueezeExcitation(inner, squeezed)] if squeezed else []),
            *convolution(inner, outputs),
        ]
        super().__init__(inputs, outputs, stride, branch, slots)


def bottlenecks(depths: Sequence[int], width: int) -> dict[str, list]:
    """The stages of a ResNet of bottlenecks as arguments of AnyNet.

    width: channels of the first stage's 3x3; they double where the map halves.
    """
    stages = range(len(depths))
    return {
        "widths": [4 * width << i for i in stages],
        "depths": list(depths),
        "strides": [1 if i == 0 else 2 for i in stages],
        "blocks": [Bottleneck] * len(depths),
    }


class AnyNet(nn.Module):
    """images (n, 3, h, w) -> a map per stage, the i-th (n, channels[i], h / s, w / s).

    s: strides[i].

    widths, depths, strides, blocks: one per stage; blocks[i](inputs, outputs, stride) is a block of
    stage i, whose stride falls on its first one.
    slots: what stands in the places of the blocks, which then also take `spatial` or `slots`.
    """

    def __init__(
        self,
        widths: Sequence[int],
        depths: Sequence[int],
        strides: Sequence[int],
        blocks: Sequence[Callable[[int, int, int], nn.Module]],
        stem_kind: str = "simple",
        stem_width: int = 32,
        stem_stride: int = 2,
        activation: type[nn.Module] = nn.ReLU,
        slots: Slots = EMPTY,
    ) -> None:
        super().__init__()
        slots.check(depths)
        self.stem = stem(stem_kind, stem_width, stem_stride, activation)
        reached = stem_stride * (2 if stem_kind == "imagenet" else 1)
        self.channels, self.stages = list(widths), nn.ModuleList()
        self.strides = list(accumulate(strides, mul, initial=reached))[1:]
        inputs = stem_width
        for i, (w, d, block) in enumerate(zip(widths, depths, blocks, strict=True)):
            stage = []
            for j in range(d):
                stride = strides[i] if j == 0 else 1
                options = slots.of_block(i, j, d, w, self.strides[i] // stride)
                stage.append(block(inputs, w, stride, **options))
                inputs = w
            self.stages.append(nn.Sequential(*stage))
        if slots.norm:
            renormalised(self, slots.norm)

    def layers(self) -> list[nn.Module]:
        """The stem and every block, from input to output: what layer-wise rates count by."""
        return [self.stem, *(block for stage in self.stages for block in stage)]

    def forward(self, images: Tensor) -> list[Tensor]:
        x, maps = self.stem(images), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps
