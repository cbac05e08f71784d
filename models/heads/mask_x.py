"""Mask^X R-CNN: masks also of classes that have boxes alone.

Hu, Dollar, He, Darrell, Girshick 2018, "Learning to Segment Every Thing", arXiv 1711.10370; trained
end to end, section 3.2. The masks: models/blocks/detection/weighttransfer.py.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, ClassVar

import torch
from torch import Tensor

from models.blocks.detection.twostage import TwoStage
from models.blocks.detection.weighttransfer import Source, TransferBranch, WeightTransfer
from models.blocks.ranges import Count, Depth, Listed

__all__ = ["MaskX"]


class MaskX(TwoStage):
    """Maps of a backbone -> boxes with classes and scores, and a mask of each.

    masks_of: names of the classes whose masks teach, the paper's set A; null: all. Objects whose
        mask the data set does not know teach none either way.
    source: what of a class's box weights its mask weights are made of: those of its score (`cls`),
        of its box (`box`), or both.
    layers: linear ones from these to those: 2 in the paper's final models.
    detached: whether the loss of masks leaves the box weights alone.
    mlp: whether a mask by one linear layer over the whole region is added, the same for all
        classes, as the released models have it: 157 M parameters at the paper's width.
    agnostic: the paper's baseline: one mask of a region, whatever its class, in the place of
        `source` and `layers`.
    mask_convs: 3x3 of the mask branch.
    mask_bins: parts to a side that a region is pooled in for its mask, which has twice as many.
    """

    gives: ClassVar[tuple[str, ...]] = ("boxes", "masks")

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        classes: int,
        names: Sequence[str],
        masks_of: Listed[str] | None = None,
        source: Source = "cls_box",
        layers: Depth = 2,
        detached: bool = True,
        mlp: bool = False,
        agnostic: bool = False,
        mask_convs: Depth = 4,
        mask_bins: Count = 14,
        **options: Any,
    ) -> None:
        super().__init__(channels, strides, classes, **options)
        hidden = self.box.bbox_pred.in_features
        inputs = {"cls": hidden, "box": 4 * hidden, "cls_box": 5 * hidden}[source]
        self.mask = TransferBranch(
            self.region_align(mask_bins),
            self.width,
            None if agnostic else WeightTransfer(inputs, self.width, layers),
            source,
            taught=_taught(names, masks_of),
            detached=detached,
            mlp=mlp,
            convs=mask_convs,
            norm=self.norm,
        )


def _taught(names: Sequence[str], masks_of: Sequence[str] | None) -> Tensor:
    """bool (classes,): those whose masks teach; ValueError for a name that no class has."""
    if masks_of is None:
        return torch.ones(len(names), dtype=torch.bool)
    strange = [name for name in masks_of if name not in names]
    if strange:
        near = get_close_matches(strange[0], names, 1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"masks_of: no class is called {strange[0]!r}{meant}")
    return torch.tensor([name in masks_of for name in names])
