"""A feature pyramid: maps of one width over a backbone's, each with what the coarser ones know.

Lin, Dollar, Girshick, He, Hariharan, Belongie 2017, "Feature Pyramid Networks for Object
Detection", arXiv 1612.03144, section 3; its levels P6 and P7 are those of Lin, Goyal, Girshick, He,
Dollar 2017, arXiv 1708.02002, footnote 2. torchvision's network computes it.
"""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import (
    ExtraFPNBlock,
    LastLevelMaxPool,
    LastLevelP6P7,
)

from models.blocks.layers.norms import group_norm
from models.blocks.layers.patches import WHOLE

__all__ = ["NORMS", "Extra", "Norm", "Pyramid"]

Extra = Literal["none", "pool", "convs_c5", "convs_p5"]
Norm = Literal["none", "batch", "group"]
NORMS = {"none": None, "batch": nn.BatchNorm2d, "group": group_norm}
ADDED = {"none": 0, "pool": 1, "convs_c5": 2, "convs_p5": 2}  # levels above the backbone's last


class Pyramid(nn.Module):
    """Maps of a backbone -> list of maps (n, width, h / strides[i], w / strides[i]), finest first.

    A last vector of the whole image is left out, and of maps of one stride all but the last.

    channels, strides: of the backbone's maps.
    width: channels of each level.
    lowest: the first of the maps that is used, counted from 0: that of stride 4 (C2) or 8 (C3).
    extra: levels above the last: `pool` one more by max pooling (Faster R-CNN), `convs_c5` two by
        convolutions of stride 2 from the backbone's last map (RetinaNet's paper, detectron2),
        `convs_p5` two from the last level (torchvision's first RetinaNet).
    norm: after each convolution of the pyramid; group norm has 32 groups, fewer where that would be
        less than 4 channels each.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        width: int = 256,
        lowest: int = 0,
        extra: Extra = "none",
        norm: Norm = "none",
    ) -> None:
        super().__init__()
        self.places = _places(strides, lowest)
        self.width = width
        used = [channels[place] for place in self.places]
        self.strides = [strides[place] for place in self.places]
        for _ in range(ADDED[extra]):
            self.strides.append(2 * self.strides[-1])
        self.fpn = FeaturePyramidNetwork(used, width, _extra(extra, used[-1], width), NORMS[norm])

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        used = OrderedDict((str(place), maps[place]) for place in self.places)
        return list(self.fpn(used).values())


def _places(strides: Sequence[int], lowest: int) -> list[int]:
    """Which maps are used; ValueError where their strides do not double."""
    last = {stride: place for place, stride in enumerate(strides) if stride != WHOLE}
    places = list(last.values())[lowest:]
    if not places:
        raise ValueError(
            f"a feature pyramid from map {lowest} on finds none in a backbone with maps of strides "
            f"{list(last)}: lower `lowest`, or take a backbone with more maps"
        )
    for finer, coarser in pairwise(places):
        if strides[coarser] != 2 * strides[finer]:
            raise ValueError(
                f"a feature pyramid needs maps whose strides double, and the backbone's are "
                f"{[strides[place] for place in places]}: choose its maps (`out` of timm's and "
                "torchvision's), or a backbone that halves its maps stage by stage"
            )
    return places


def _extra(extra: Extra, channels: int, width: int) -> ExtraFPNBlock | None:
    if extra == "none":
        return None
    if extra == "pool":
        return LastLevelMaxPool()
    from_last_level = extra == "convs_p5"
    added = LastLevelP6P7(width if from_last_level else channels, width)
    # torchvision tells it by the widths, which may be equal by chance
    added.use_P5 = from_last_level
    return added
