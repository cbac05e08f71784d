"""The mask branch of PointRend: a coarse mask of each region, made fine point by point.

Kirillov, Wu, He, Girshick 2020, "PointRend: Image Segmentation as Rendering", arXiv 1912.08193,
sections 3 and 4. Numbers and order are those of the released code (detectron2, projects/PointRend);
of the classes' masks only that of a region's own is made fine, as no other is looked at.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import clip_boxes_to_image

from models.blocks.detection.boxbranch import BoxBranch
from models.blocks.detection.coarsemask import CoarseMask
from models.blocks.detection.maskbranch import known_only, mask_targets
from models.blocks.detection.pointhead import PointHead
from models.blocks.detection.points import (
    Sampling,
    foreground,
    in_boxes,
    mask_sample,
    on_canvas,
    point_sample,
)
from models.blocks.detection.sampling import averaged
from models.blocks.detection.subdivision import begun, start_of, subdivided

__all__ = ["PointBranch"]


class PointBranch(nn.Module):
    """The maps of a pyramid, of which the finest is looked at, and regions -> masks of 2^steps
    times the side of the coarse ones.

    coarse, head: the two networks. sampling: points of a training. steps: how often a mask is
    doubled. points: predicted of each region and step. refined: whether masks are learnt in the
    boxes that the box branch makes of the regions.
    """

    def __init__(
        self,
        coarse: CoarseMask,
        head: PointHead,
        sampling: Sampling,
        steps: int,
        points: int,
        refined: bool = False,
    ) -> None:
        super().__init__()
        self.coarse, self.head, self.refined = coarse, head, refined
        self.sampling, self.steps, self.points = sampling, steps, points

    def losses(
        self,
        pyramid: Sequence[Tensor],
        regions: Sequence[Tensor],
        labels: Sequence[Tensor],
        masks: Sequence[Tensor],
        known: Sequence[Tensor],
        seeds: Sequence[int],
        box_head: BoxBranch | None = None,
    ) -> dict[str, Tensor]:
        """{"mask", "point"}: binary cross entropies of the coarse masks and of the points, each the
        mean over the regions of all images and workers.

        Of each image: regions float (r, 4) in px of the canvas, labels int64 (r,), the masks of
        their objects bool (r, h, w) of the canvas, known bool (r,) of which the mask is known, and
        a seed of its points.
        """
        boxes, labels, masks = known_only(known, regions, labels, masks)
        maps, classes, counts = pyramid[0], torch.cat(labels), [len(own) for own in boxes]
        if self.refined:
            boxes = refined_boxes(pyramid, boxes, classes, box_head, masks[0].shape[1:])
        logits = self.coarse(maps, boxes).float()
        own = own_class(logits, classes)
        wanted = mask_targets(masks, boxes, self.coarse.side) >= 0.5
        coarse = F.binary_cross_entropy_with_logits(own[:, 0], wanted.float(), reduction="none")

        drawn = torch.cat(list(map(self.sampling.draw, seeds, counts))).to(maps.device)
        places = self.sampling.choose(own, foreground, drawn).split(counts)
        found = own_class(self.logits(maps, boxes, places, logits), classes)[:, 0]
        triples = zip(masks, places, boxes, strict=True)
        told = torch.cat([mask_sample(mask, on_canvas(at, box)) for mask, at, box in triples])
        point = F.binary_cross_entropy_with_logits(found, told, reduction="none")
        return {
            "mask": averaged(coarse.mean((1, 2)).sum(), counts),
            "point": averaged(point.mean(1).sum(), counts),
        }

    def logits(
        self, maps: Tensor, boxes: Sequence[Tensor], places: Sequence[Tensor], coarse: Tensor
    ) -> Tensor:
        """Logits (r, classes, p) of places of boxes, of each image (r_i, p, 2), and of their coarse
        logits (r, classes, side, side).
        """
        fine = in_boxes(maps, self.coarse.stride, boxes, places)
        return self.head(fine, point_sample(coarse, torch.cat(list(places)))).float()

    @torch.no_grad()
    def masks(
        self,
        pyramid: Sequence[Tensor],
        regions: Sequence[Tensor],
        labels: Sequence[Tensor],
        **_: Any,
    ) -> list[Tensor]:
        """How likely each place of a grid over its region (r, 4) is the object's, of each image
        (r, s, s), 0 to 1: s is 2^steps times the coarse side.
        """
        # image by image, for the points of all are many
        return [
            self._masks(maps[None], boxes, classes)
            for maps, boxes, classes in zip(pyramid[0], regions, labels, strict=True)
        ]

    def _masks(self, maps: Tensor, boxes: Tensor, classes: Tensor) -> Tensor:
        coarse = self.coarse(maps, [boxes]).float()

        def predict(places: Tensor) -> Tensor:
            return own_class(self.logits(maps, [boxes], [places], coarse), classes)

        side, steps = start_of(self.coarse.side, self.steps, self.points)
        logits = begun(len(boxes), side, coarse, predict)
        return subdivided(logits, steps, self.points, foreground, predict)[:, 0].sigmoid()


@torch.no_grad()
def refined_boxes(
    pyramid: Sequence[Tensor],
    regions: Sequence[Tensor],
    classes: Tensor,
    box_head: BoxBranch,
    canvas: Sequence[int],
) -> list[Tensor]:
    """The boxes that are found in regions (r, 4) of each image, were they of their true classes.

    A region whose box is less than 1 px on the canvas stays as it is.
    """
    before = torch.cat(list(regions))
    deltas = own_class(box_head(pyramid, regions)[1], classes)[:, 0]
    boxes = clip_boxes_to_image(box_head.code.decode(deltas, before), tuple(canvas))
    large = (boxes[:, 2:] - boxes[:, :2] >= 1).all(1, keepdim=True)
    counts = [len(own) for own in regions]
    return list(torch.where(large, boxes, before).split(counts))


def own_class(logits: Tensor, classes: Tensor) -> Tensor:
    """Of logits (r, classes, ...) those of each one's class (r,): (r, 1, ...)."""
    return logits[torch.arange(len(logits), device=logits.device), classes][:, None]
