"""Boxes of whole pixels that are cut out of frames, and what is cut out resized to a square.

Random resized crop: Szegedy et al. 2015, "Going Deeper with Convolutions", arXiv 1409.4842, section
6. Scaled short side: Simonyan, Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale
Image Recognition", arXiv 1409.1556, section 3.1.
"""

from math import log

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["PLACED", "Box", "random_boxes", "resized", "scaled_boxes", "square_box"]

PLACED = 5  # uniform numbers that a random box is made of
Box = tuple[int, int, int, int, bool]  # left, top, width and height in px, whether it is mirrored
Sides = tuple[int, int]  # height and width of the frames in px


def random_boxes(
    sides: Sides,
    drawn: Tensor,
    flip: float,
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> list[Box]:
    """Boxes by uniform numbers (n, PLACED), of a random share of the area and a random aspect.

    scale: range of the share. ratio: range of width over height, in px. flip: share of mirrored
    boxes.
    """
    height, width = sides
    area = (scale[0] + (scale[1] - scale[0]) * drawn[:, 0]) * height * width
    low, high = log(ratio[0]), log(ratio[1])
    aspect = torch.exp(low + (high - low) * drawn[:, 1])
    # a box longer than the frame is cut at its border rather than drawn again
    return _placed(sides, drawn, flip, (area * aspect).sqrt(), (area / aspect).sqrt())


def scaled_boxes(
    sides: Sides, drawn: Tensor, flip: float, short: tuple[int, int], side: int
) -> list[Box]:
    """Squares of `side` px by uniform numbers (n, PLACED), had the short side a length of `short`.

    All whole lengths of that range are as likely.
    """
    low, high = short
    scaled = low + ((high - low + 1) * drawn[:, 0]).floor()
    edge = side * min(sides) / scaled
    return _placed(sides, drawn, flip, edge, edge)


def square_box(sides: Sides, part: float, place: float) -> Box:
    """A square of a part of the short side, at a place of 0 to 1 along the longer one."""
    height, width = sides
    edge = max(1, round(part * min(sides)))
    left = round((width - edge) * (place if width > height else 0.5))
    top = round((height - edge) * (place if height > width else 0.5))
    return left, top, edge, edge, False


def _placed(sides: Sides, drawn: Tensor, flip: float, wide: Tensor, high: Tensor) -> list[Box]:
    """Boxes of these lengths (n,), anywhere in the frame."""
    wide, high = wide.round().clamp(1, sides[1]), high.round().clamp(1, sides[0])
    left = (drawn[:, 2] * (sides[1] - wide + 1)).floor()
    top = (drawn[:, 3] * (sides[0] - high + 1)).floor()
    boxes = torch.stack([left, top, wide, high], 1).long().tolist()
    mirrored = (drawn[:, 4] < flip).tolist()
    return [(*box, turned) for box, turned in zip(boxes, mirrored, strict=True)]


def resized(frames: Tensor, side: int) -> Tensor:
    """uint8 (t, 3, h, w) -> uint8 (t, 3, side, side), antialiased; as they are where equal."""
    if frames.shape[2:] == (side, side):
        return frames
    given = {"size": (side, side), "mode": "bilinear", "antialias": True}
    if not frames.is_cuda:  # several times as fast as in float
        return F.interpolate(frames, **given)
    return F.interpolate(frames.float(), **given).round_().to(torch.uint8)
