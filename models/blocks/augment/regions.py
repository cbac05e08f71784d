"""Boxes of an image in its crops, and back: one object, or one place, in several views.

Boxes are x1, y1, x2, y2 in px, of which a view or an image covers 0 to its side. A crop is x, y,
width, height in px of the image.
"""

from math import log
from typing import NamedTuple

import torch
from torch import Tensor

from models.blocks.augment.draws import Draws

__all__ = ["Placed", "clipped", "overlaps", "random_boxes"]

Sides = tuple[int, int]  # height and width


class Placed(NamedTuple):
    """Where the views of n images lie: crops (n, 4), whether each is mirrored (n,)."""

    crops: Tensor
    flipped: Tensor

    @classmethod
    def of(cls, theta: Tensor, image: Sides) -> "Placed":
        """From affine maps (n, 2, 3) as `Views.boxes` draws them, of -1 to 1."""
        height, width = image
        sides = torch.stack([theta[:, 0, 0].abs() * width, theta[:, 1, 1] * height], 1)
        middle = (theta[:, :, 2] + 1) / 2 * theta.new_tensor([width, height])
        return cls(torch.cat([middle - sides / 2, sides], 1), theta[:, 0, 0] < 0)

    def into(self, boxes: Tensor, view: Sides) -> Tensor:
        """Boxes (n, b, 4) of the images in their views of these sides, also where outside."""
        corner, sides = self.crops[:, None, :2], self.crops[:, None, 2:]
        factor = boxes.new_tensor([view[1], view[0]]) / sides
        found = (boxes.unflatten(2, (2, 2)) - corner[:, :, None]) * factor[:, :, None]
        return self._mirrored(found.flatten(2), view[1])

    def back(self, boxes: Tensor, view: Sides) -> Tensor:
        """Boxes (n, b, 4) of views of these sides in their images."""
        corner, sides = self.crops[:, None, :2], self.crops[:, None, 2:]
        factor = sides / boxes.new_tensor([view[1], view[0]])
        found = self._mirrored(boxes, view[1]).unflatten(2, (2, 2))
        return (found * factor[:, :, None] + corner[:, :, None]).flatten(2)

    def _mirrored(self, boxes: Tensor, width: int) -> Tensor:
        """Left and right changed, in the views that are."""
        x1, y1, x2, y2 = boxes.unbind(2)
        other = torch.stack([width - x2, y1, width - x1, y2], 2)
        return torch.where(self.flipped[:, None, None], other, boxes)


def clipped(boxes: Tensor, sides: Sides) -> Tensor:
    """Boxes (..., 4) cut at the border; those outside are empty."""
    ends = boxes.new_tensor([sides[1], sides[0]] * 2)
    return boxes.clamp(min=0).minimum(ends)


def overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union (n, a, b) of boxes (n, a, 4) and (n, b, 4); of empty ones 0."""
    one, other = first[:, :, None], second[:, None]
    shared = one[..., 2:].minimum(other[..., 2:]) - one[..., :2].maximum(other[..., :2])
    shared = shared.clamp(min=0).prod(3)
    areas = [(boxes[..., 2:] - boxes[..., :2]).prod(3) for boxes in (one, other)]
    return shared / (areas[0] + areas[1] - shared).clamp(min=torch.finfo(shared.dtype).tiny)


def random_boxes(
    n: int,
    count: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    image: Sides,
    draws: Draws,
) -> Tensor:
    """Boxes (n, count, 4) anywhere in n images.

    scale: range of their share of the image area. ratio: range of their width over height.
    """
    height, width = image
    area, shape, x, y = draws.rand(n, count, 4).unbind(2)
    area = (scale[0] + (scale[1] - scale[0]) * area) * height * width
    low, high = log(ratio[0]), log(ratio[1])
    shape = torch.exp(low + (high - low) * shape)
    w, h = (area * shape).sqrt().clamp(max=width), (area / shape).sqrt().clamp(max=height)
    left, top = x * (width - w), y * (height - h)
    return torch.stack([left, top, left + w, top + h], 2)
