"""Panoptic FPN: Mask R-CNN and a branch of classes of pixels on one feature pyramid.

Kirillov, Girshick, He, Dollar 2019, "Panoptic Feature Pyramid Networks", arXiv 1901.02446, section
3: the semantic branch tells the classes of stuff, and one more for all things.
"""

from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from models.blocks.detection.maskbranch import MaskBranch
from models.blocks.detection.scene import UNKNOWN, Found, Scene
from models.blocks.detection.semantics import Semantics, check_classes, pixel_loss
from models.blocks.detection.twostage import TwoStage
from models.blocks.ranges import Count, Depth, Listed, Positive, Width

__all__ = ["PanopticFPN"]


class PanopticFPN(TwoStage):
    """Maps of a backbone -> things with boxes and masks, and the class of stuff of each pixel.

    things: names of the classes that are countable; the others are stuff.
    mask_convs: 3x3 of the mask branch.
    mask_bins: parts to a side that a region is pooled in for its mask, which has twice as many.
    dim: channels of the semantic branch.
    semantic_norm: after its convolutions.
    semantic_weight: of its loss, beside 1 of those of things.
    """

    gives: ClassVar[tuple[str, ...]] = ("boxes", "masks", "semantic")

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        classes: int,
        names: Sequence[str],
        things: Listed[str],
        mask_convs: Depth = 4,
        mask_bins: Count = 14,
        dim: Width = 128,
        semantic_norm: Literal["group", "batch"] = "group",
        semantic_weight: Positive = 0.5,
        **options: Any,
    ) -> None:
        check_classes(classes)
        tables = _tables(things, names)
        count = len(tables["things"])
        super().__init__(channels, strides, count, **options)
        self.classes, self.semantic_weight = classes, semantic_weight
        align = self.region_align(mask_bins)
        self.mask = MaskBranch(align, self.width, count, mask_convs, self.norm)
        levels, kinds = self.pyramid.strides[:-1], len(tables["stuff"]) + 1
        self.semantics = Semantics(levels, self.width, kinds, dim, semantic_norm)
        for name, table in tables.items():
            self.register_buffer(name, table, persistent=False)

    def parts(
        self, pyramid: list[Tensor], canvas: tuple[int, int], scenes: Sequence[Scene]
    ) -> dict[str, Tensor]:
        """Those of Mask R-CNN, of things alone, and `semantic`, weighted."""
        own = super().parts(pyramid, canvas, [self._things_of(scene) for scene in scenes])
        maps = [scene.semantic for scene in scenes]
        targets = [None if each is None else self.pixel_number[each] for each in maps]
        scores = self.semantics(pyramid)
        return own | {"semantic": self.semantic_weight * pixel_loss(scores, targets)}

    def _things_of(self, scene: Scene) -> Scene:
        """The scene with classes as the box branch numbers them, without objects of others."""
        labels = self.thing_number[scene.labels]
        kept = labels >= 0
        return replace(
            scene,
            boxes=scene.boxes[kept],
            labels=labels[kept],
            ignore=scene.ignore[kept],
            masks=None if scene.masks is None else scene.masks[kept],
            masks_known=scene.masks_known[kept],
            unjudged=scene.unjudged[self.things],
        )

    def instances(
        self, pyramid: list[Tensor], canvas: tuple[int, int], contents: Sequence[tuple[int, int]]
    ) -> list[Found]:
        """What is found, and scores of pixels (classes + 1, ...), the last of any thing."""
        found = super().instances(pyramid, canvas, contents)
        told = self.semantics(pyramid).float()
        scores = told.new_full((len(told), self.classes + 1, *told.shape[2:]), -torch.inf)
        scores[:, self.stuff], scores[:, -1] = told[:, :-1], told[:, -1]
        return [
            replace(own, labels=self.things[own.labels], semantic=semantic)
            for own, semantic in zip(found, scores, strict=True)
        ]

    def masks_at(
        self, maps: Sequence[Tensor], boxes: Sequence[Tensor], labels: Sequence[Tensor]
    ) -> list[Tensor]:
        return super().masks_at(maps, boxes, [self.thing_number[each] for each in labels])


def _tables(things: Sequence[str], names: Sequence[str]) -> dict[str, Tensor]:
    """How the branches number classes.

    things, stuff: the classes, in their order. thing_number: of each class in the box branch, -1 of
    stuff. pixel_number: of each and of 255 in the semantic branch, whose last class is any thing.
    """
    chosen = _chosen(things, names)
    stuff = [place for place in range(len(names)) if place not in chosen]
    box, pixel = torch.full((len(names),), -1), torch.full((UNKNOWN + 1,), UNKNOWN)
    box[chosen], pixel[chosen] = torch.arange(len(chosen)), len(stuff)
    pixel[stuff] = torch.arange(len(stuff))
    classes = {"things": torch.tensor(chosen), "stuff": torch.tensor(stuff)}
    return classes | {"thing_number": box, "pixel_number": pixel}


def _chosen(things: Sequence[str], names: Sequence[str]) -> list[int]:
    """Which classes are things; ValueError for a name of none, and where none is left for stuff."""
    strange = [name for name in things if name not in names]
    if strange:
        near = get_close_matches(strange[0], names, 1)
        known = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
        raise ValueError(f"panoptic_fpn: things: no class is called {strange[0]!r} ({known})")
    chosen = [place for place, name in enumerate(names) if name in things]
    if not chosen or len(chosen) == len(names):
        raise ValueError(
            f"panoptic_fpn: things: {len(chosen)} of {len(names)} classes are things: name some, "
            "not all; mask_rcnn is for things alone, semantic_fpn for stuff alone"
        )
    return chosen
