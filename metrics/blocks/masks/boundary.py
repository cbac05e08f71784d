"""The boundary region of a mask: its pixels that are near to pixels of no mask, or to the border.

Cheng, Girshick, Dollar, Berg, Kirillov 2021, "Boundary IoU: Improving Object-Centric Image
Segmentation Evaluation", section 4. As the authors' code has it: bowenc0221/boundary-iou-api,
boundary_iou/utils/boundary_utils.py: a mask less what is left of it when it is eroded d times by
3 x 3 pixels, which is once by a square of 2 d + 1; beyond the border of the image there is no mask.
"""

import math

import numpy as np
from numpy import ndarray

from metrics.blocks.masks.runlengths import Crops

RATIO = 0.02  # of the image's diagonal: the paper's, section 5.1


def distance(height: int, width: int, ratio: float = RATIO) -> int:
    """d: how far a boundary region reaches into a mask, in pixels."""
    return max(1, round(ratio * math.sqrt(height**2 + width**2)))


def inner(pixels: ndarray, d: int) -> ndarray | None:
    """Where a mask (a, b) is left when it is eroded, bool (a - 2 d, b - 2 d): row i is row i + d.

    None where a side has no more than 2 d pixels: nothing is left. What lies outside is no mask.
    """
    if min(pixels.shape) <= 2 * d:
        return None
    return _all_of(_all_of(pixels, 2 * d + 1, 1), 2 * d + 1, 0)


def of_mask(pixels: ndarray, d: int) -> ndarray:
    """The boundary region, bool (a, b), of a mask bool (a, b)."""
    left = inner(pixels, d)
    if left is None:
        return pixels
    found = pixels.copy()
    within = found[d:-d, d:-d]
    within &= ~left
    return found


def boundaries(found: Crops, ratio: float = RATIO) -> Crops:
    """The boundary regions of masks, in the masks' boxes."""
    d = distance(*found.size, ratio)
    pixels = [of_mask(each, d) for each in found.pixels]
    areas = np.array([np.count_nonzero(each) for each in pixels], np.int64)
    return Crops(found.size, found.boxes, areas, pixels)


def of_labels(labels: ndarray, d: int) -> ndarray:
    """The boundary regions of all labels of a map at once, bool (h, w).

    A pixel is within its label where no two neighbours differ in the square of 2 d + 1 about it.
    """
    height, width = labels.shape
    found = np.ones((height, width), bool)
    if min(height, width) <= 2 * d:
        return found
    # rows that are not of one label within d columns
    mixed = _any_of(labels[:, 1:] != labels[:, :-1], 2 * d, 1)
    downward = (labels[1:] != labels[:-1])[:, d:-d]
    # below each other: the rows of a square but the last, and the steps between its rows
    found[d:-d, d:-d] = _any_of(mixed[:-1] | downward, 2 * d, 0) | mixed[2 * d :]
    return found


def _all_of(values: ndarray, length: int, axis: int) -> ndarray:
    """Whether all of `length` neighbours along an axis are true, for each first of them."""
    return _over(np.logical_and, values, length, axis)


def _any_of(values: ndarray, length: int, axis: int) -> ndarray:
    """Whether any of `length` neighbours along an axis is true, for each first of them."""
    return _over(np.logical_or, values, length, axis)


def _over(operation: np.ufunc, values: ndarray, length: int, axis: int) -> ndarray:
    """Joins neighbours: windows double until one more step, which may overlap, fills them."""
    reach = 1
    while reach < length:
        step = min(reach, length - reach)
        size = values.shape[axis] - step
        first, second = (_part(values, start, size, axis) for start in (0, step))
        values = operation(first, second)
        reach += step
    return values


def _part(values: ndarray, start: int, size: int, axis: int) -> ndarray:
    """`size` rows or columns from `start` on."""
    return values[start : start + size] if axis == 0 else values[:, start : start + size]
