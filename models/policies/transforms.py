"""Several scales of each image, mirrored and not, merged: what a teacher labels images with.

Radosavovic, Dollár, Girshick, Gkioxari, He 2018, "Data Distillation: Towards Omni-Supervised
Learning", arXiv 1712.04440, section 3: multi-transform inference. Every answer is put back into the
pixels of the image as it is stored before they are merged. Boxes: the union is suppressed, and
perhaps voted on. Masks: the mean of what the mask branch gives in each view on the merged boxes, or
where a head cannot be asked that, of the masks that were merged. Classes of pixels: the mean of
their probabilities.
"""

from collections import defaultdict
from dataclasses import replace
from itertools import chain
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from models.blocks.augment.draws import Draws
from models.blocks.detection import merging, voting
from models.blocks.detection.scene import UNKNOWN, Found
from models.blocks.ranges import Count, Least, Listed, Part, Pixels, Positive, Share

__all__ = ["Transforms"]

Batch = dict[str, Any]
Score = Annotated[float, Field(ge=0, lt=1)]
TOGETHER = 8  # images whose views are in memory at a time
SCALES = [0.5, 0.625, 0.75, 0.875, 1.0, 1.125, 1.25, 1.375, 1.5]


class Transforms:
    """(objective, batch, draws) -> what an objective of scenes finds, in px of the stored images.

    boxes, box_label, box_score, and masks where the head gives some. Of pixels alone, or of pixels
    with things, panoptic, panoptic_label, panoptic_thing, and confidence, the mean over the pixels
    of their likeliest class. And sides, and the targets where they are read.

    scales: of the shorter side that a test has; with one of 800 px those of the paper, 400 to 1200
        px in steps of 100.
    shorter: px of the shorter side, in the place of `scales`.
    flip: whether each is asked mirrored too.
    merge: of boxes that overlap, `nms` keeps the surest as it is; `vote` takes the mean of all by
        their scores.
    overlap: from which on a box is dropped for a surer one of its class.
    voting: overlap from which on a box votes, and its mask counts.
    floor: score above which a box is kept.
    most: boxes of an image.
    least_score: of things, below which one is in no panoptic map.
    least_area: px of a class of stuff, below which it is in no panoptic map.
    """

    def __init__(
        self,
        scales: Listed[Positive] = SCALES,
        shorter: Listed[Pixels] | None = None,
        flip: bool = True,
        merge: Literal["nms", "vote"] = "nms",
        overlap: Part = 0.5,
        voting: Part = 0.8,
        floor: Score = 1e-8,
        most: Count = 100,
        least_score: Share = 0.5,
        least_area: Least = 4096.0,
    ) -> None:
        self.scales, self.shorter, self.flip, self.merge = scales, shorter, flip, merge
        self.overlap, self.voting, self.floor, self.most = overlap, voting, floor, most
        self.panoptic = {"score": least_score, "stuff_area": least_area}

    def __call__(self, objective: nn.Module, batch: Batch, draws: Draws) -> tuple[Batch, Batch]:
        if not getattr(objective, "scenes", False):
            raise ValueError(
                f"policy transforms: it merges objects and classes of pixels, and "
                f"{type(objective).__name__.lower()} has one answer for an image: take pseudo, or "
                "views of videos"
            )
        images = list(batch[objective.column])
        rows: list[dict[str, Tensor]] = []
        for first in range(0, len(images), TOGETHER):
            rows += self._columns(objective, images[first : first + TOGETHER])
        columns: Batch = defaultdict(list)
        for name, value in chain.from_iterable(row.items() for row in rows):
            columns[name].append(value)
        columns = dict(columns)
        if "confidence" in columns:
            columns["confidence"] = torch.stack(columns["confidence"])
        if objective.target not in batch:
            return columns, {}
        return columns, objective.targets(objective.test_views(batch, draws))

    def views(self, objective: nn.Module, image: Tensor) -> list[tuple[int, bool]]:
        """(px of the shorter side, whether it is mirrored) of each view of an image (h, w, 3)."""
        tested = objective.augment.test_shorter or min(image.shape[:2])
        sides = self.shorter or [max(1, round(scale * tested)) for scale in self.scales]
        return [(side, mirrored) for side in sides for mirrored in (False, True)[: 1 + self.flip]]

    def _columns(self, objective: nn.Module, images: list[Tensor]) -> list[dict[str, Tensor]]:
        """The columns of each image, uint8 (h, w, 3)."""
        parts: list[list[Found]] = [[] for _ in images]
        means: list[Any] = [None] * len(images)
        every = [self.views(objective, image) for image in images]
        # a view of all images, then the next: those of equal sides go through the network together
        for views in zip(*every, strict=True):
            pairs = zip(images, views, strict=True)
            placed = [objective.placed([image], *view) for image, view in pairs]
            seen, contents = [one[0] for one, _ in placed], [one[0] for _, one in placed]
            for row, found in enumerate(objective.scenes_found(seen, contents)):
                given = contents[row], tuple(images[row].shape[:2]), views[row][1]
                if found.semantic is not None:
                    canvas = tuple(seen[row].shape[1:])
                    shares = voting.probabilities_out(found.semantic, canvas, *given)
                    means[row] = shares if means[row] is None else means[row].add_(shares)
                if found.boxes is not None:
                    parts[row].append(_back(found, *given))
        whole = zip(images, parts, means, strict=True)
        return [self._columns_of(objective, *each) for each in whole]

    def _columns_of(
        self, objective: nn.Module, image: Tensor, parts: list[Found], total: Tensor | None
    ) -> dict[str, Tensor]:
        """Those of one image: parts, what each view found; total, the sum of its pixels' shares."""
        stored = tuple(image.shape[:2])
        whole = self._merged(objective, image, parts) if parts else Found()
        columns = objective.columns_of([whole], [stored], [stored[::-1]])
        columns = {name: column[0] for name, column in columns.items()}
        columns["sides"] = torch.tensor(stored[::-1])
        if total is None:
            return columns
        return self._segments(objective, columns, total / len(self.views(objective, image)))

    def _merged(self, objective: nn.Module, image: Tensor, parts: list[Found]) -> Found:
        """One answer of those of all views, all in px of the stored image."""
        best = voting.merged(parts, self.overlap, self.floor, self.most)
        whole = voting.voted(best, parts, self.voting) if self.merge == "vote" else best
        if parts[0].masks is None:
            return whole
        if hasattr(objective.head, "masks_at"):
            return replace(whole, masks=self._masks_at(objective, image, whole))
        masks = voting.averaged(best, whole.boxes, parts, self.voting)
        return replace(whole, masks=masks)

    def _masks_at(self, objective: nn.Module, image: Tensor, whole: Found) -> Tensor:
        """Means (m, s, s) of what the mask branch gives on these boxes in each view."""
        views = self.views(objective, image)
        total: Any = 0
        for view in views:
            (seen,), (content,) = objective.placed([image], *view)
            boxes = voting.boxes_in(whole.boxes, content, tuple(image.shape[:2]), view[1])
            maps = objective.backbone(seen[None])
            (masks,) = objective.head.masks_at(maps, [boxes], [whole.labels])
            total = total + (masks.flip(-1) if view[1] else masks)
        return total / len(views)

    def _segments(
        self, objective: nn.Module, found: dict[str, Tensor], mean: Tensor
    ) -> dict[str, Tensor]:
        """The panoptic map of classes of pixels, (classes, h, w) means, and of things over them."""
        sure, semantic = mean.max(0)
        # a row more is of none of the classes
        none = (semantic == objective.head.classes) | (sure == 0)
        semantic = semantic.masked_fill(none, UNKNOWN)
        columns = {"sides": found["sides"], "confidence": sure.mean()}
        if "masks" not in found:
            return columns | _of_pixels(semantic)
        names = ("boxes", "box_label", "box_score", "masks")
        given = [found[name] for name in names]
        return columns | merging.merged(*given, semantic, **self.panoptic)._asdict()


def _back(found: Found, content: voting.Sides, stored: voting.Sides, mirrored: bool) -> Found:
    """What was found in a view, in px of the stored image."""
    boxes = voting.boxes_out(found.boxes, content, stored, mirrored)
    masks = found.masks
    if masks is not None and mirrored:
        masks = masks.flip(-1)
    return Found(boxes, found.labels, found.scores, masks)


def _of_pixels(semantic: Tensor) -> dict[str, Tensor]:
    """A segment for each class that a map (h, w) has, in rising order; 255 is none."""
    labels = semantic.unique()
    labels = labels[labels != UNKNOWN]
    numbers = torch.zeros(UNKNOWN + 1, dtype=torch.int32, device=semantic.device)
    numbers[labels] = 1 + torch.arange(len(labels), device=semantic.device).int()
    thing = torch.zeros(len(labels), dtype=torch.bool, device=semantic.device)
    return {"panoptic": numbers[semantic], "panoptic_label": labels, "panoptic_thing": thing}
