"""Masks of boxes as masks of images.

He, Gkioxari, Dollar, Girshick 2017, "Mask R-CNN", arXiv 1703.06870, section 3.1, "Inference": a
mask is resized to its box and cut at .5. By bilinear interpolation at the pixels' middles, as
detectron2 has it, so that a box of any float has its mask in its place; torchvision's own rounds
boxes to whole px.
"""

import math

import torch
from torch import Tensor

__all__ = ["pasted"]


def pasted(masks: Tensor, boxes: Tensor, sides: tuple[int, int], threshold: float = 0.5) -> Tensor:
    """Masks (m, s, s) of boxes (m, 4) -> bool (m, h, w), True where a mask is >= threshold.

    boxes: x1 y1 x2 y2 in px of the image of `sides`, its height and width; they may reach beyond
    it. Beyond its box a mask falls to 0 within one of its cells. threshold: above 0.
    """
    height, width = sides
    whole = torch.zeros((len(masks), height, width), dtype=torch.bool, device=masks.device)
    # zeros all round, for the places beyond the outermost cells' middles
    padded = torch.nn.functional.pad(masks.float(), (1, 1, 1, 1))
    # one by one: a box is often a small part of its image, and two axes are quicker than a grid
    for mask, box, target in zip(padded, boxes.double().tolist(), whole, strict=True):
        x1, y1, x2, y2 = box
        if not (x2 > x1 and y2 > y1):
            continue
        cells = len(mask) - 2
        top, rows = _axis(y1, y2, cells, height, masks.device)
        left, columns = _axis(x1, x2, cells, width, masks.device)
        if not (len(rows) and len(columns)):
            continue
        tall = _between(mask, rows)
        found = _between(tall.T, columns).T
        target[top : top + len(rows), left : left + len(columns)] = found >= threshold
    return whole


def _axis(
    start: float, end: float, cells: int, side: int, device: torch.device
) -> tuple[int, Tensor]:
    """The first pixel that a mask may reach, and where it and the next ones lie among the cells.

    In cells of the padded mask, whose first one is at 0.
    """
    cell = (end - start) / cells
    first = max(0, math.floor(start - cell))
    last = min(side, math.ceil(end + cell))
    pixels = torch.arange(first, max(first, last), dtype=torch.float64, device=device) + 0.5
    # middle of a cell i of the mask itself is i + .5, and it lies one further in the padded one
    return first, ((pixels - start) / cell + 0.5).clamp(0, cells + 1)


def _between(rows: Tensor, places: Tensor) -> Tensor:
    """Rows (k, n) at places (p,) from 0 to k - 1: (p, n) by linear interpolation."""
    lower = places.long().clamp(max=len(rows) - 2)
    share = (places - lower).to(rows.dtype)[:, None]
    return torch.lerp(rows[lower], rows[lower + 1], share)
