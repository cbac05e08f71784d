"""Points of maps: where they lie, what a map has there, and which of them are looked at.

Kirillov, Wu, He, Girshick 2020, "PointRend: Image Segmentation as Rendering", arXiv 1912.08193,
section 3.1: points are few and most of them where a coarse prediction is uncertain; the numbers and
the order are those of the released code (detectron2, projects/PointRend).

Places are x, y, both from 0 to 1 across a map, a box or a canvas, whose n values along a side lie
at (k + 1/2) / n: the middles of its cells. Beside them lie zeros.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Sampling", "Uncertainty", "foreground", "grid", "in_boxes", "least_margin"]
__all__ += ["mask_sample", "most_uncertain", "on_canvas", "point_sample"]

Uncertainty = Callable[[Tensor], Tensor]  # logits (n, c, ...) -> (n, ...), highest where least sure
CANDIDATES, OTHERS = 101, 102  # streams of random places


def grid(height: int, width: int, like: Tensor) -> Tensor:
    """The middles of the cells, (height * width, 2), row by row; of the kind of `like`."""
    kind = {"dtype": like.dtype, "device": like.device}
    x = (torch.arange(width, **kind) + 0.5) / width
    y = (torch.arange(height, **kind) + 0.5) / height
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], 2).view(-1, 2)


def point_sample(
    maps: Tensor, places: Tensor, mode: Literal["bilinear", "nearest"] = "bilinear"
) -> Tensor:
    """What maps (n, c, h, w) have at places (n, p, 2) of each: (n, c, p), float32 or finer."""
    # half precision would move the places
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    at = (2 * places - 1).to(maps.dtype)[:, None]
    return F.grid_sample(maps, at, mode=mode, align_corners=False)[:, :, 0]


def mask_sample(masks: Tensor, places: Tensor) -> Tensor:
    """`point_sample` of masks, bool (r, h, w), at places (r, p, 2) in px: (r, p), 0 to 1.

    No float copy of the masks is made, which are many and large.
    """
    height, width = masks.shape[1:]
    corner = places - 0.5
    low = corner.floor()
    part = corner - low
    column, row = low.long().unbind(2)
    number = torch.arange(len(masks), device=masks.device)[:, None]
    found = torch.zeros_like(part[..., 0])
    for right in (0, 1):
        for below in (0, 1):
            x, y = column + right, row + below
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            seen = masks[number, y.clamp(0, height - 1), x.clamp(0, width - 1)] & inside
            share = (part[..., 0] - 1 + right).abs() * (part[..., 1] - 1 + below).abs()
            found = found + share * seen
    return found


def on_canvas(places: Tensor, boxes: Tensor) -> Tensor:
    """Places (r, p, 2) of boxes (r, 4), x1 y1 x2 y2 in px, as x, y in px: (r, p, 2)."""
    first, last = boxes[:, None].to(places.dtype).split(2, 2)
    return first + places * (last - first)


def in_boxes(
    maps: Tensor, stride: int, boxes: Sequence[Tensor], places: Sequence[Tensor]
) -> Tensor:
    """What maps (n, c, h / stride, w / stride) have in boxes of each image: (r, c, p).

    boxes: of each image (r_i, 4) in px of the canvas. places: of each (r_i, p, 2) of its boxes. r
    is the sum of r_i.
    """
    found = []
    height, width = maps.shape[2:]
    whole = maps.new_tensor([width * stride, height * stride], dtype=torch.float32)
    for one, own, inside in zip(maps, boxes, places, strict=True):
        at = on_canvas(inside, own) / whole.to(inside.dtype)
        # all boxes of an image as one list of points, for the map is one
        sampled = point_sample(one[None], at.reshape(1, -1, 2))
        found.append(sampled[0].unflatten(1, inside.shape[:2]).transpose(0, 1))
    return torch.cat(found)


def foreground(logits: Tensor) -> Tensor:
    """-|logit| of masks (n, 1, ...): 0 where object and background are as likely."""
    return -logits[:, 0].abs()


def least_margin(logits: Tensor) -> Tensor:
    """Of classes (n, c, ...) the second largest logit minus the largest; of a single one 0."""
    if logits.shape[1] == 1:
        return torch.zeros_like(logits[:, 0])
    first, second = logits.topk(2, 1).values.unbind(1)
    return second - first


def most_uncertain(uncertain: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` cells of uncertain (n, h, w) with the highest values: cells (n, k), numbered row
    by row, and their middles (n, k, 2). All cells where there are no more.
    """
    height, width = uncertain.shape[1:]
    cells = uncertain.flatten(1).topk(min(count, height * width), 1).indices
    return cells, grid(height, width, uncertain)[cells]


@dataclass(frozen=True)
class Sampling:
    """How the points of a training are chosen.

    points: of each map. oversample: how many times as many are drawn, of which the most uncertain
    are taken. importance: the share of the points that are taken so; the others are uniform.
    """

    points: int
    oversample: float
    importance: float

    @property
    def uncertain(self) -> int:
        """Points that are taken for their uncertainty."""
        return int(self.importance * self.points)

    def draw(self, seed: int, maps: int) -> Tensor:
        """Uniform places (maps, candidates + others, 2), by the seed of an image alone."""
        numbers = {CANDIDATES: int(self.points * self.oversample)}
        numbers[OTHERS] = self.points - self.uncertain
        drawn = []
        for stream, count in numbers.items():
            generator = torch.Generator().manual_seed((seed + 7_919 * stream) % 2**63)
            drawn.append(torch.rand(maps, count, 2, generator=generator))
        return torch.cat(drawn, 1)

    @torch.no_grad()
    def choose(self, logits: Tensor, uncertainty: Uncertainty, drawn: Tensor) -> Tensor:
        """Of what is drawn (n, candidates + others, 2), places (n, points, 2): the most uncertain
        candidates by logits (n, c, h, w), the least sure first, then the others.

        The uncertainty is that of the interpolated logits: half-way between -1 and 1 it is 0 that
        counts, not the 1 of both.
        """
        others = self.points - self.uncertain
        candidates, rest = drawn.split([drawn.shape[1] - others, others], 1)
        unsure = uncertainty(point_sample(logits, candidates))
        best = unsure.topk(self.uncertain, 1).indices
        taken = candidates.gather(1, best[..., None].expand(-1, -1, 2))
        return torch.cat([taken, rest], 1)
