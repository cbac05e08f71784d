"""Overlaps of the masks of an image, and of their boundary regions.

Pixels of two masks are compared where their boxes meet. Of a crowd region the share of the other
mask that lies in it counts, as in cocodataset/cocoapi, common/maskApi.c, rleIou; and its boundary
does not: bowenc0221/boundary-iou-api, coco_instance_api/cocoeval.py, computeBoundaryIoU.
"""

import numpy as np
from numpy import ndarray

from metrics.blocks.masks.boundary import RATIO, boundaries
from metrics.blocks.masks.runlengths import Crops


def mask_ious(found: Crops, true: Crops, crowd: ndarray) -> ndarray:
    """float64 (m, k): intersection over union of masks of one image; crowd: bool (k,)."""
    return _ious([(found, true)], crowd)


def boundary_ious(found: Crops, true: Crops, crowd: ndarray, ratio: float = RATIO) -> ndarray:
    """float64 (m, k): the lower of the IoU of masks and of their boundary regions."""
    regions = boundaries(found, ratio), boundaries(true, ratio)
    return _ious([(found, true), regions], crowd)


def _ious(layers: list[tuple[Crops, Crops]], crowd: ndarray) -> ndarray:
    """The lowest IoU of layers, which share their boxes; of crowds that of the first layer."""
    found, true = layers[0]
    if len(found.areas) and len(true.areas) and found.size != true.size:
        raise ValueError(
            f"masks of predictions are of {found.size} pixels, those of the targets of "
            f"{true.size} (height, width): resize them to the image"
        )
    ious = np.zeros((len(found.areas), len(true.areas)))
    for row, column in zip(*_meeting(found.boxes, true.boxes), strict=True):
        mine, other = _common(found.boxes[row], true.boxes[column])
        for one, two in layers[: 1 if crowd[column] else None]:
            both = np.count_nonzero(one.pixels[row][mine] & two.pixels[column][other])
            whole = one.areas[row]
            if not crowd[column]:
                whole += two.areas[column] - both
            iou = both / whole
            ious[row, column] = iou if one is found else min(iou, ious[row, column])
    return ious


def _meeting(boxes: ndarray, others: ndarray) -> tuple[list[int], list[int]]:
    """Rows and columns of boxes (m, 4) and (k, 4) that share pixels."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    rows, columns = np.nonzero((low < high).all(2))
    return rows.tolist(), columns.tolist()


def _common(box: ndarray, other: ndarray) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where two boxes meet, in the crop of each."""
    left, top = np.maximum(box[:2], other[:2]).tolist()
    right, bottom = np.minimum(box[2:], other[2:]).tolist()
    return _shifted(box, left, top, right, bottom), _shifted(other, left, top, right, bottom)


def _shifted(box: ndarray, left: int, top: int, right: int, bottom: int) -> tuple[slice, slice]:
    x, y = box[:2].tolist()
    return slice(left - x, right - x), slice(top - y, bottom - y)
