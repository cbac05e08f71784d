"""Detection in two stages: proposals of regions, then the class, the box and the mask of each.

Ren, He, Girshick, Sun 2015, "Faster R-CNN", arXiv 1506.01497; over a feature pyramid: Lin et al.
2017, arXiv 1612.03144, section 4; with masks: He, Gkioxari, Dollar, Girshick 2017, "Mask R-CNN",
arXiv 1703.06870. Losses are means over all samples of a batch, as torchvision has them.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from models.blocks.detection.anchors import Anchors, Rounding
from models.blocks.detection.boxbranch import BoxBranch, Regions
from models.blocks.detection.pyramid import NORMS, Norm, Pyramid
from models.blocks.detection.regions import CANONICAL, RegionAlign
from models.blocks.detection.rpn import Kept, RegionProposals
from models.blocks.detection.scene import Found, Scene, SceneHead
from models.blocks.options import with_options
from models.blocks.ranges import Count, Depth, Part, Positive, Share, Whole, Width

__all__ = ["TwoStage"]


class TwoStage(SceneHead):
    """Maps of a backbone -> pyramid -> proposals -> classes and boxes, and masks.

    A head of one more branch is a subclass that sets `mask`, built with `self.region_align(bins)`
    and `self.width`; its settings are its own and, by **options, these.

    width: channels of the pyramid and of what is on top of it.
    norm: after the convolutions of the pyramid and of the branches; `group` to train from scratch.
    anchor: side of the square anchor of each level, in strides: 8 is 32 px at a stride of 4.
    rounding: `exact` anchors (the paper, detectron2) or those of `torchvision`, in whole px.
    rpn_convs: 3x3 before the proposals.
    anchors: anchors of an image that the loss of proposals is of.
    candidates: the best of each level's anchors in training, of which boxes that overlap better
        ones are left out.
    proposals: of an image that are then left in training.
    test_candidates: as candidates, of a test.
    test_proposals: as proposals, of a test.
    regions: proposals of an image that the loss of classes and boxes is of.
    positive: share of these that show an object at the most.
    canonical: px, side of the smallest region that is pooled from the map of stride 16: less for
        small images.
    aligned: whether a region's pixels stand at their middles (detectron2) or at their upper left
        corners (torchvision).
    hidden: numbers of a region between the layers of the box branch.
    convs: 3x3 in the place of the first of these layers: 4 with `norm: group`.
    box_loss: `smooth_l1`, quadratic near 0, or `l1`.
    least_score: above which a box is found.
    overlap: with a better box of its class, up to which a box is found.
    detections: boxes of an image at the most.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        classes: int,
        width: Width = 256,
        norm: Norm = "none",
        anchor: Positive = 8.0,
        rounding: Rounding = "exact",
        rpn_convs: Depth = 1,
        anchors: Count = 256,
        candidates: Count = 2000,
        proposals: Count = 2000,
        test_candidates: Count = 1000,
        test_proposals: Count = 1000,
        regions: Count = 512,
        positive: Part = 0.25,
        canonical: Positive = float(CANONICAL),
        aligned: bool = True,
        hidden: Width = 1024,
        convs: Whole = 0,
        box_loss: Literal["smooth_l1", "l1"] = "smooth_l1",
        least_score: Share = 0.05,
        overlap: Share = 0.5,
        detections: Count = 100,
    ) -> None:
        super().__init__()
        self.strides, self.classes, self.width = list(strides), classes, width
        self.norm, self.canonical, self.aligned = NORMS[norm], canonical, aligned
        self.kept = Kept(candidates, proposals)
        self.test_kept = Kept(test_candidates, test_proposals)
        self.pyramid = Pyramid(channels, strides, width, extra="pool", norm=norm)
        beta = 1 / 9 if box_loss == "smooth_l1" else 0.0
        places = Anchors(self.pyramid.strides, anchor, rounding=rounding)
        self.rpn = RegionProposals(width, places, rpn_convs, anchors, beta)
        align = self.region_align(7)
        trunk = {"hidden": hidden, "convs": convs, "norm": self.norm}
        learnt = {"samples": regions, "positive": positive, "beta": beta}
        tested = {"least_score": least_score, "overlap": overlap, "detections": detections}
        self.box = BoxBranch(align, width, classes, **trunk, **learnt, **tested)
        self.mask: nn.Module | None = None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.__signature__ = with_options(cls)

    def region_align(self, bins: int) -> RegionAlign:
        """What pools regions of this head's pyramid, but for the level of proposals alone."""
        return RegionAlign(self.pyramid.strides[:-1], bins, self.aligned, self.canonical)

    def losses(self, maps: Sequence[Tensor], scenes: Sequence[Scene]) -> dict[str, Tensor]:
        """Of proposals `objectness` and `proposal`, of regions `class` and `box`, of masks those of
        the branch; `loss` is their sum."""
        parts = self.parts(self.pyramid(maps), self.canvas(maps), scenes)
        return {"loss": torch.stack(list(parts.values())).sum(), **parts}

    def parts(
        self, pyramid: list[Tensor], canvas: tuple[int, int], scenes: Sequence[Scene]
    ) -> dict[str, Tensor]:
        """The losses by name, of a pyramid of which a subclass may make more."""
        proposed = self.rpn(pyramid, canvas)
        parts = self.rpn.losses(proposed, scenes)
        contents = [scene.content for scene in scenes]
        proposals = self.rpn.proposals(proposed, contents, self.kept)
        regions = self.box.sampled(proposals, scenes)
        parts |= self.box.losses(pyramid[:-1], regions, scenes)
        if self.mask is not None:
            parts |= self._mask_losses(pyramid[:-1], regions, scenes)
        return parts

    def _mask_losses(
        self, pyramid: list[Tensor], regions: list[Regions], scenes: Sequence[Scene]
    ) -> dict[str, Tensor]:
        columns = [_masked(own, scene) for own, scene in zip(regions, scenes, strict=True)]
        boxes, labels, masks, known = map(list, zip(*columns, strict=True))
        return self.mask.losses(pyramid, boxes, labels, masks, known, **self.told(scenes))

    def told(self, scenes: Sequence[Scene]) -> dict[str, Any]:
        """What the losses of masks are told beside the regions."""
        return {"box_head": self.box}

    def found(self, maps: Sequence[Tensor], contents: Sequence[tuple[int, int]]) -> list[Found]:
        return self.instances(self.pyramid(maps), self.canvas(maps), contents)

    def instances(
        self, pyramid: list[Tensor], canvas: tuple[int, int], contents: Sequence[tuple[int, int]]
    ) -> list[Found]:
        """What `found` gives, of a pyramid of which a subclass may make more."""
        proposed = self.rpn(pyramid, canvas)
        proposals = self.rpn.proposals(proposed, contents, self.test_kept)
        found = self.box.found(pyramid[:-1], proposals, contents)
        if self.mask is None:
            return found
        boxes, labels = [each.boxes for each in found], [each.labels for each in found]
        masks = self.mask.masks(pyramid[:-1], boxes, labels, box_head=self.box)
        return [replace(own, masks=mask) for own, mask in zip(found, masks, strict=True)]

    def masks_at(
        self, maps: Sequence[Tensor], boxes: Sequence[Tensor], labels: Sequence[Tensor]
    ) -> list[Tensor]:
        """Probabilities (m, s, s) of the masks in boxes (m, 4) of each image, wherever found."""
        return self.mask.masks(self.pyramid(maps)[:-1], boxes, labels, box_head=self.box)


def _masked(regions: Regions, scene: Scene) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """An image's positives: boxes, labels, masks, and whether each mask is known."""
    if scene.masks is None:
        raise ValueError(
            "a head that learns masks is given none: take the objective `instances`, or a head of "
            "boxes alone such as `faster_rcnn`"
        )
    place = regions.matched
    return regions.positive, scene.labels[place], scene.masks[place], scene.masks_known[place]
