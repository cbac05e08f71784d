"""Classes of pixels from the maps of a feature pyramid.

Kirillov, Girshick, He, Dollar 2019, "Panoptic Feature Pyramid Networks", arXiv 1901.02446, section
3, figure 3: each map is brought to the finest one's stride in steps of two, the results are added
up, and a 1x1 convolution gives the classes. Group norm by Wu & He 2018, arXiv 1803.08494.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.detection.sampling import averaged
from models.blocks.detection.scene import UNKNOWN
from models.blocks.layers.norms import group_norm

__all__ = ["Semantics", "check_classes", "classes_of", "pixel_loss"]

NORMS = {"group": group_norm, "batch": nn.BatchNorm2d}


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

        ValueError where a stride is not the finest one times a power of two, and for more classes
        than a map can tell.
        """
        super().__init__()
        check_classes(classes)
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


def check_classes(classes: int) -> None:
    """ValueError where a class would have the number that says of a pixel that it has none."""
    if classes > UNKNOWN:
        raise ValueError(
            f"semantic branch: {classes} classes, and a map of classes has place for {UNKNOWN}: "
            "join rare ones"
        )


def pixel_loss(scores: Tensor, targets: Sequence[Tensor | None]) -> Tensor:
    """Cross entropy of the canvas's pixels, a mean over those of all workers that are known.

    scores: (n, classes, h, w), brought to the canvas bilinearly.
    targets: int64 of the canvas's sides, of each image; 255 where unknown.

    Every worker has to call it, as often as the others. ValueError without targets.
    """
    given = [target for target in targets if target is not None]
    if len(given) < len(targets):
        raise ValueError(
            "a head that learns classes of pixels is given none: take the objective `semantic` or "
            "`panoptic`, or a head of boxes or masks"
        )
    whole = F.interpolate(scores.float(), given[0].shape, mode="bilinear")
    labels = torch.stack(given)
    total = F.cross_entropy(whole, labels, ignore_index=UNKNOWN, reduction="sum")
    return averaged(total, (labels != UNKNOWN).flatten(1).sum(1).tolist())


def classes_of(
    scores: Tensor,
    classes: int,
    canvas: tuple[int, int],
    content: tuple[int, int],
    sides: tuple[int, int],
) -> Tensor:
    """int64 sides: the likeliest class of each pixel of an image, 255 where that is none.

    scores: float (classes, h, w) of a canvas, of a class that is not told -inf everywhere; one row
        more is of none of the classes. Upsampled bilinearly.
    canvas, content, sides: height and width of the canvas, of the image in it, of the answer.
    """
    # of -inf times a weight of 0 bilinear sums would be NaN
    told = (scores > -torch.inf).flatten(1).all(1).nonzero()[:, 0]
    if not len(told):
        return torch.full(sides, UNKNOWN, device=scores.device)
    whole = F.interpolate(scores[told][None].float(), canvas, mode="bilinear")
    cut = whole[..., : content[0], : content[1]]
    if content != sides:
        cut = F.interpolate(cut, sides, mode="bilinear")
    label = told[cut[0].argmax(0)]
    return label.masked_fill(label == classes, UNKNOWN)


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
        layers += [conv, NORMS[norm](dim), nn.ReLU(inplace=True)]
        layers += [_Doubled()] if steps else []
    return nn.Sequential(*layers)
