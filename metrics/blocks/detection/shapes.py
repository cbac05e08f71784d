"""What of two objects is compared: their boxes, their masks or their keypoints.

A shape is chosen by its name, `SHAPES["masks"]`. Another one inherits from the nearest and
overrides `overlaps`, as Outlines of metrics/blocks/masks/outlines.py does: it is given all
detections and all annotated objects, sorted by pairs of image and class, and `Blocks`, which pairs'
overlaps are wanted.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from metrics.blocks.detection.objects import Blocks, Objects

# how far an annotator's keypoints stray, of COCO's 17 from nose to ankles: cocoeval.py, Params
SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
Rle = dict[str, Any]  # {"size": [h, w], "counts": bytes}, as pycocotools has run lengths


class Boxes:
    """Boxes x1 y1 x2 y2 in px, by their intersection over union.

    column: where they stand, of both sides. needs: what else is read of the targets. held: overlaps
    that are held at a time.
    """

    column = "boxes"
    held = 2**20
    needs: tuple[str, ...] = ()

    def kept(self, row: Tensor) -> Tensor:
        """One image's, as they are kept from the update on; ValueError for another form."""
        if not len(row):
            return row.reshape(0, 4)
        if row.ndim != 2 or row.shape[1] != 4:
            raise ValueError(
                f"boxes of shape {tuple(row.shape)}: give one row x1 y1 x2 y2 per object, (m, 4)"
            )
        return row

    def flat(self, rows: Sequence[Tensor]) -> ndarray:
        """All images' kept rows, float64 (n, 4)."""
        return _joined(rows, (4,))

    def areas(self, shapes: ndarray, sides: ndarray) -> ndarray:
        """float64 (n,), px, of sides (n, 2)."""
        return sides[:, 0] * sides[:, 1]

    def overlaps(self, detections: Objects, truths: Objects, blocks: Blocks) -> ndarray:
        """float64 (e,), in the order of `blocks.combinations()`."""
        rows, columns = blocks.combinations()
        areas = self.areas(detections.shapes, detections.sides)[rows]
        true_areas = self.areas(truths.shapes, truths.sides)[columns]
        boxes, others = detections.shapes[rows], truths.shapes[columns]
        return box_iou(boxes, others, areas, true_areas, truths.crowd[columns])


class Masks:
    """Masks as run lengths, by their intersection over union."""

    column = "masks"
    held = 2**20
    needs: tuple[str, ...] = ()

    def kept(self, row: Tensor | Sequence[Rle]) -> list[Rle]:
        """One image's: run lengths as they are, bool (m, h, w) encoded."""
        return encoded(row) if isinstance(row, Tensor) else list(row)

    def flat(self, rows: Sequence[list[Rle]]) -> list[Rle]:
        """All images' kept rows, n of them."""
        return [mask for row in rows for mask in row]

    def areas(self, shapes: list[Rle], sides: ndarray) -> ndarray:
        """float64 (n,), px."""
        return mask_areas(shapes)

    def overlaps(self, detections: Objects, truths: Objects, blocks: Blocks) -> ndarray:
        """float64 (e,), in the order of `blocks.combinations()`."""
        parts = []
        for first, last, true_first, true_last in np.stack(blocks, 1).tolist():
            own, others = detections.shapes[first:last], truths.shapes[true_first:true_last]
            crowd = truths.crowd[true_first:true_last]
            parts.append(mask_iou(own, others, crowd).ravel())
        return np.concatenate(parts)


class Keypoints:
    """Keypoints x, y, visibility by their object keypoint similarity.

    sigmas: how far an annotator's points stray, one per keypoint, in units of the object's size.
    """

    column = "keypoints"
    held = 2**15
    needs = ("boxes",)

    def __init__(self, sigmas: Sequence[float] = SIGMAS) -> None:
        self.sigmas = np.asarray(sigmas)

    def kept(self, row: Tensor) -> Tensor:
        """One image's, as they are kept from the update on; ValueError for another form."""
        if not len(row):
            return row.reshape(0, len(self.sigmas), 3)
        if row.ndim != 3 or row.shape[1:] != (len(self.sigmas), 3):
            raise ValueError(
                f"keypoints of shape {tuple(row.shape)}: give x, y, visibility of "
                f"{len(self.sigmas)} points per object, (m, {len(self.sigmas)}, 3), or as many "
                "sigmas as there are points"
            )
        return row

    def flat(self, rows: Sequence[Tensor]) -> ndarray:
        """All images' kept rows, float64 (n, k, 3)."""
        return _joined(rows, (len(self.sigmas), 3))

    def areas(self, shapes: ndarray, sides: ndarray) -> ndarray:
        """Of the box around the points, as COCO.loadRes has it; float64 (n,), px."""
        around = shapes[:, :, :2].max(1) - shapes[:, :, :2].min(1)
        return around[:, 0] * around[:, 1]

    def overlaps(self, detections: Objects, truths: Objects, blocks: Blocks) -> ndarray:
        """float64 (e,), in the order of `blocks.combinations()`."""
        rows, columns = blocks.combinations()
        points, true = detections.shapes[rows], truths.shapes[columns]
        area = truths.area[columns]
        return keypoint_similarity(points, true, truths.boxes[columns], area, self.sigmas)


SHAPES = {"boxes": Boxes, "masks": Masks, "keypoints": Keypoints}


def box_iou(
    boxes: ndarray, truths: ndarray, areas: ndarray, true_areas: ndarray, crowd: ndarray
) -> ndarray:
    """Intersection over union of each box with the one beside it, float64 (e,).

    boxes, truths float64 (e, 4), their areas (e,), crowd bool (e,): of a crowd the share of the box
    that lies in it. bbIou of cocoapi's maskApi.c.
    """
    sides = np.minimum(boxes[:, 2:], truths[:, 2:]) - np.maximum(boxes[:, :2], truths[:, :2])
    touching = (sides > 0).all(1)
    common = sides[:, 0] * sides[:, 1]
    whole = np.where(crowd, areas, areas + true_areas - common)
    return np.divide(common, whole, out=np.zeros(len(boxes)), where=touching)


def mask_iou(masks: Sequence[Rle], truths: Sequence[Rle], crowd: ndarray) -> ndarray:
    """Intersection over union of run lengths, float64 (d, g); of a crowd as `box_iou`.

    ValueError where masks of an image differ in size.
    """
    from pycocotools import mask

    found = mask.iou(masks, truths, crowd.astype(np.uint8))
    if len(found) and found.min() < 0:
        sizes = sorted({tuple(each["size"]) for each in (*masks, *truths)})
        raise ValueError(
            f"masks of one image are of different sizes (h, w): {sizes}; give predictions in the "
            "size of the image"
        )
    return found


def mask_areas(masks: Sequence[Rle]) -> ndarray:
    """float64 (n,): pixels of each of these run lengths."""
    from pycocotools import mask

    # 2.0.11 keeps the number of masks in 8 bits
    parts = [masks[first : first + 255] for first in range(0, len(masks), 255)]
    return np.concatenate([np.zeros(0), *map(mask.area, parts)])


def keypoint_similarity(
    points: ndarray, truths: ndarray, boxes: ndarray, area: ndarray, sigmas: ndarray
) -> ndarray:
    """Object keypoint similarity (OKS) of each person with the one beside it, float64 (e,).

    points, truths (e, k, 3), boxes of the truths (e, 4), area (e,): the mean over the labelled
    points of exp(-d^2 / (2 area (2 sigma)^2)); without one, over all points, d being how far they
    lie outside of the box of double the sides. computeOks of cocoapi's cocoeval.py.
    """
    labelled = truths[:, :, 2] > 0
    none = ~labelled.any(1)
    away = points[:, :, :2] - truths[:, :, :2]
    sides = boxes[:, 2:] - boxes[:, :2]
    low, high = (boxes[:, :2] - sides)[:, None], (boxes[:, :2] + 2 * sides)[:, None]
    beyond = np.maximum(0, low - points[:, :, :2]) + np.maximum(0, points[:, :, :2] - high)
    away = np.where(none[:, None, None], beyond, away)
    scale = (area[:, None] + np.spacing(1)) * 2
    error = (away**2).sum(2) / (2 * sigmas) ** 2 / scale
    counted = labelled | none[:, None]
    return (np.exp(-error) * counted).sum(1) / counted.sum(1)


def encoded(masks: Tensor) -> list[Rle]:
    """Run lengths of masks bool (m, h, w); ValueError for another form."""
    from pycocotools import mask

    if not len(masks):
        return []
    if masks.ndim != 3:
        raise ValueError(
            f"masks of shape {tuple(masks.shape)}: give one of (h, w) per object, (m, h, w)"
        )
    # pycocotools reads columns first
    return mask.encode(np.asfortranarray((masks != 0).permute(1, 2, 0).cpu().numpy(), np.uint8))


def _joined(rows: Sequence[Tensor], shape: tuple[int, ...]) -> ndarray:
    return (
        torch.cat([torch.zeros(0, *shape), *(row.detach().cpu() for row in rows)]).double().numpy()
    )
