"""Masks compared by their area and by their outline: the lower of both intersections over union.

Cheng, Girshick, Dollar, Berg, Kirillov 2021, "Boundary IoU: Improving Object-Centric Image
Segmentation Evaluation", section 6; bowenc0221/boundary-iou-api, coco_instance_api/cocoeval.py,
computeBoundaryIoU: of a crowd the area alone counts.
"""

import numpy as np
from numpy import ndarray

from metrics.blocks.detection.objects import Blocks, Objects
from metrics.blocks.detection.shapes import Masks
from metrics.blocks.masks.boundary import RATIO, boundaries
from metrics.blocks.masks.runlengths import Crops, crops


class Outlines(Masks):
    """Masks as run lengths, by the lower IoU of masks and of boundary regions.

    ratio: of the image's diagonal, how far a boundary region reaches into a mask. least: overlaps
    of masks below it are left as they are, where nothing less than that can match.
    """

    def __init__(self, ratio: float = RATIO, least: float = 0.0) -> None:
        self.ratio, self.least = ratio, least

    def overlaps(self, detections: Objects, truths: Objects, blocks: Blocks) -> ndarray:
        """float64 (e,), in the order of `blocks.combinations()`."""
        ious = super().overlaps(detections, truths, blocks)
        rows, columns = blocks.combinations()
        close = (ious >= self.least) & (ious > 0) & ~truths.crowd[columns]
        some = np.flatnonzero(close)
        ends = np.flatnonzero(np.diff(detections.image[rows[some]])) + 1
        for part in np.split(some, ends):
            if len(part):
                edges = self._edges(detections, truths, rows[part], columns[part])
                ious[part] = np.minimum(ious[part], edges)
        return ious

    def _edges(
        self, detections: Objects, truths: Objects, rows: ndarray, columns: ndarray
    ) -> ndarray:
        """The IoU of boundary regions of pairs of one image, float64 (k,)."""
        sides, places = [], []
        for objects, chosen in ((detections, rows), (truths, columns)):
            own, place = np.unique(chosen, return_inverse=True)
            masks = crops([objects.shapes[row] for row in own.tolist()])
            sides.append(boundaries(masks, self.ratio))
            places.append(place)
        return pair_ious(*sides, *places)


def pair_ious(found: Crops, true: Crops, rows: ndarray, columns: ndarray) -> ndarray:
    """Intersection over union of found[row] with true[column] of each of k pairs, float64 (k,).

    The crops are of one image; of two without a pixel it is 0.
    """
    boxes, others = found.boxes[rows], true.boxes[columns]
    common = np.concatenate(
        [np.maximum(boxes[:, :2], others[:, :2]), np.minimum(boxes[:, 2:], others[:, 2:])], 1
    )
    both = np.zeros(len(rows), np.int64)
    meeting = np.flatnonzero((common[:, :2] < common[:, 2:]).all(1))
    mine, theirs = (common - np.tile(each[:, :2], 2) for each in (boxes, others))
    for pair in meeting.tolist():
        one = _part(found.pixels[rows[pair]], mine[pair].tolist())
        two = _part(true.pixels[columns[pair]], theirs[pair].tolist())
        both[pair] = np.count_nonzero(one & two)
    whole = found.areas[rows] + true.areas[columns] - both
    return np.divide(both, whole, out=np.zeros(len(both)), where=whole > 0)


def _part(pixels: ndarray, box: list[int]) -> ndarray:
    left, top, right, bottom = box
    return pixels[left:right, top:bottom]
