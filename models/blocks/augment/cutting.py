"""What a crop leaves of the objects and segments of an image: models/blocks/augment/geometry.py."""

import torch
from torch import Tensor

__all__ = ["OBJECTS", "SEGMENTS", "area_left", "cut_objects", "cut_segments"]

Sample = dict[str, Tensor]
# columns with a row per object, and with a row per segment
OBJECTS = (
    "boxes",
    "box_label",
    "box_score",
    "box_crowd",
    "box_ignore",
    "box_area",
    "masks",
    "masks_known",
    "keypoints",
)
SEGMENTS = ("panoptic_label", "panoptic_crowd", "panoptic_thing", "panoptic_id", "panoptic_area")


def area_left(boxes: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """float (m,): the share of each box, float (m, 4), that lies in a crop; 0 of an empty box."""
    low, high = boxes.new_tensor([left, top]), boxes.new_tensor([left + width, top + height])
    inside = torch.minimum(boxes[:, 2:], high) - torch.maximum(boxes[:, :2], low)
    whole = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
    share = inside.clamp(min=0).prod(1) / whole
    return torch.where(whole > 0, share, 0.0)


def cut_objects(
    before: Sample, found: Sample, place: tuple[int, int, int, int], least: float, tight: bool
) -> None:
    """Boxes and areas clamped; objects that were cut off dropped from all columns of `found`."""
    share = area_left(before["boxes"], *place)
    high = found["boxes"].new_tensor([place[3], place[2]] * 2)
    found["boxes"] = torch.minimum(found["boxes"].clamp(min=0), high)
    kept = share > least
    if "box_area" in found:
        found["box_area"] = found["box_area"] * share.to(found["box_area"].dtype)
    if "masks" in found:
        pixels, left = (each["masks"].flatten(1).sum(1) for each in (before, found))
        kept &= (left > 0) | (pixels == 0)
        if "box_area" in found:
            part = left / pixels.clamp(min=1)
            found["box_area"] = torch.where(
                pixels > 0, before["box_area"] * part, found["box_area"]
            )
        if tight:
            found["boxes"][left > 0] = _boxes_of(found["masks"][left > 0]).to(found["boxes"].dtype)
    for name in OBJECTS:
        if name in found:
            found[name] = found[name][kept]


def _boxes_of(masks: Tensor) -> Tensor:
    """int64 (m, 4) of masks bool (m, h, w) that have a pixel each."""
    ends = []
    for axis in (1, 2):  # any pixel of a column, then of a row
        there = masks.any(axis).to(torch.uint8)
        first = there.argmax(1)
        last = there.shape[1] - there.flip(1).argmax(1)
        ends.append((first, last))
    (left, right), (top, bottom) = ends
    return torch.stack([left, top, right, bottom], 1)


def cut_segments(found: Sample) -> None:
    """Segments without a pixel dropped from the columns of `found`, the others numbered anew."""
    count = len(found["panoptic_label"])
    pixels = torch.bincount(found["panoptic"].flatten().long(), minlength=count + 1)
    assert len(pixels) == count + 1, "a map numbers its segments from 1 on"
    there = pixels > 0
    there[0] = False
    number = torch.where(there, there.cumsum(0), 0).to(found["panoptic"].dtype)
    found["panoptic"] = number[found["panoptic"].long()]
    for name in SEGMENTS:
        if name in found:
            found[name] = found[name][there[1:]]
    if "panoptic_area" in found:
        found["panoptic_area"] = pixels[1:][there[1:]].to(found["panoptic_area"].dtype)
