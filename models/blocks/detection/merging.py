"""One map of segments from instances and classes of pixels that may contradict each other.

Kirillov, He, Girshick, Rother, Dollar 2019, "Panoptic Segmentation", arXiv 1801.00868, section 7,
and "Panoptic Feature Pyramid Networks", arXiv 1901.02446, section 3; the rule as in
cocodataset/panopticapi, combine_semantic_and_instance_predictions.py: surer instances come first,
what is left is stuff.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from models.blocks.detection.scene import UNKNOWN

__all__ = ["Merged", "merged"]

CLASSES = UNKNOWN + 1  # that a map of classes may tell, with that of none


class Merged(NamedTuple):
    """s segments, things by falling score, then stuff by class; named as the columns of a batch.

    panoptic: int32 (h, w), s + 1 where the s-th segment is, 0: none is.
    panoptic_label: int64 (s,), the classes. panoptic_thing: bool (s,).
    """

    panoptic: Tensor
    panoptic_label: Tensor
    panoptic_thing: Tensor


def merged(
    boxes: Tensor,
    labels: Tensor,
    scores: Tensor,
    masks: Tensor,
    semantic: Tensor,
    overlap: float = 0.5,
    score: float = 0.5,
    stuff_area: float = 4096,
) -> Merged:
    """The segments of an image of (h, w).

    boxes: float (m, 4), x1 y1 x2 y2 in px; a mask counts within the pixels that its box touches.
    labels, scores: (m,). masks: bool (m, h, w).
    semantic: int64 (h, w), the class of each pixel, of stuff; 255 where none is told, as of things.
    overlap: an instance of which a larger share is taken by surer ones is left out, of others the
        rest is kept. score: an instance below it is left out.
    stuff_area: px; stuff of fewer that are left over is left out, its pixels are of no segment.
    """
    panoptic = torch.zeros(semantic.shape, dtype=torch.int32, device=semantic.device)
    taken = torch.zeros_like(panoptic, dtype=torch.bool)
    order = scores.argsort(descending=True, stable=True)
    order = order[scores[order] >= score]
    kept = []
    for row, window in zip(order.tolist(), _windows(boxes[order], panoptic.shape), strict=True):
        mask = masks[row][window]
        rest = mask & ~taken[window]
        area, left = torch.stack([mask.count_nonzero(), rest.count_nonzero()]).tolist()
        if left and area - left <= overlap * area:
            kept.append(row)
            panoptic[window].masked_fill_(rest, len(kept))
            taken[window] |= mask
    free = semantic.masked_fill(taken, UNKNOWN)
    stuff = _add_stuff(panoptic, len(kept), free, stuff_area)
    thing = torch.arange(len(kept) + len(stuff), device=panoptic.device) < len(kept)
    return Merged(panoptic, torch.cat([labels[kept], stuff]), thing)


def _windows(boxes: Tensor, sides: tuple[int, int]) -> list[tuple[slice, slice]]:
    """Rows and columns of the pixels that boxes (m, 4) touch, in a map of these sides."""
    first, end = boxes[:, :2].floor().long().clamp(min=0), boxes[:, 2:].ceil().long()
    places = torch.cat([first, torch.maximum(first, end)], 1).tolist()
    return [
        (slice(top, min(bottom, sides[0])), slice(left, min(right, sides[1])))
        for left, top, right, bottom in places
    ]


def _add_stuff(panoptic: Tensor, count: int, free: Tensor, least: float) -> Tensor:
    """The classes (s,) of free pixels, put into the map, in place, as segments after `count`.

    free: int64 (h, w), the class of each pixel that is still free, else 255. least: px of a class.
    """
    areas = free.flatten().bincount(minlength=CLASSES)
    areas[UNKNOWN] = 0
    classes = (areas >= max(least, 1)).nonzero()[:, 0]
    numbers = panoptic.new_zeros(CLASSES)
    numbers[classes] = count + 1 + torch.arange(len(classes), device=panoptic.device).int()
    panoptic += numbers.index_select(0, free.flatten()).view(panoptic.shape)
    return classes
