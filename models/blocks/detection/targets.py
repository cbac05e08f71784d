"""What is to be learnt of a panoptic map: the class of each pixel, and the things in it.

Kirillov, He, Girshick, Rother, Dollar 2019, "Panoptic Segmentation", arXiv 1801.00868, section 3:
each pixel is of one segment, a thing or stuff, or of none.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from models.blocks.detection.scene import UNKNOWN

__all__ = ["Things", "instances_of", "semantic_of"]


class Things(NamedTuple):
    """m countable things of a map of (h, w), those without a pixel left out.

    boxes: float32 (m, 4), x1 y1 x2 y2 in px, around the pixels. labels: int64 (m,).
    masks: bool (m, h, w). crowd: bool (m,), many things as one, neither to be found nor missed.
    """

    boxes: Tensor
    labels: Tensor
    masks: Tensor
    crowd: Tensor


def semantic_of(panoptic: Tensor, labels: Tensor) -> Tensor:
    """int64 (h, w): the class of each pixel, also of things and crowds; 255 where no segment is.

    panoptic: int (h, w), s + 1 where the s-th segment is, 0: none. labels: int64 (s,).
    """
    classes = torch.cat([labels.new_tensor([UNKNOWN]), labels])
    return classes.index_select(0, panoptic.flatten()).view(panoptic.shape)


def instances_of(panoptic: Tensor, labels: Tensor, thing: Tensor, crowd: Tensor) -> Things:
    """The things of a map, in the order of its segments.

    panoptic: int (h, w), s + 1 where the s-th segment is, 0: none. labels: int64 (s,).
    thing, crowd: bool (s,), whether a segment is countable, and whether it is a crowd.
    """
    around = _boxes(panoptic, len(labels))
    kept = (thing & (around[:, 2] > around[:, 0])).nonzero()[:, 0]
    masks = panoptic.new_zeros(len(kept), *panoptic.shape, dtype=torch.bool)
    boxes = around[kept]
    places = torch.cat([kept[:, None] + 1, boxes], 1).tolist()
    for mask, (number, left, top, right, bottom) in zip(masks, places, strict=True):
        # outside of its box there is nothing of it
        within = slice(top, bottom), slice(left, right)
        mask[within] = panoptic[within] == number
    return Things(boxes.float(), labels[kept], masks, crowd[kept])


def _boxes(panoptic: Tensor, count: int) -> Tensor:
    """int64 (count, 4) around the pixels of each segment; of one without, the right is below 0.

    From the runs of equal pixels in the rows, which are far fewer than the pixels.
    """
    height, width = panoptic.shape
    first = torch.ones_like(panoptic, dtype=torch.bool)
    first[:, 1:] = panoptic[:, 1:] != panoptic[:, :-1]
    starts = first.flatten().nonzero()[:, 0]
    ends = torch.cat([starts[1:], starts.new_tensor([height * width])])
    segment = panoptic.flatten()[starts].long()
    rows = starts // width
    runs = torch.stack([starts % width, rows, ends - rows * width, rows + 1], 1)
    places = segment[:, None].expand(-1, 4)
    lowest = runs.new_full((count + 1, 4), max(height, width))
    lowest = lowest.scatter_reduce(0, places, runs, "amin")
    highest = runs.new_full((count + 1, 4), -1).scatter_reduce(0, places, runs, "amax")
    return torch.cat([lowest[1:, :2], highest[1:, 2:]], 1)
