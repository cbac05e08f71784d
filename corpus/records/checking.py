"""An annotated object of strangers checked: whether it is one of its image, and why not.

A box that overlaps the image stays as it is written, also where it goes beyond the edge: COCO's own
do, by parts of a pixel; one wholly outside, or without area, is refused. What draws or trains on it
clips it.
"""

import math
from typing import Any

import numpy as np
from pydantic import ValidationError

from corpus.media.images import MAX_PIXELS
from corpus.media.runs import run_lengths
from corpus.records.objects import Rle, Thing
from corpus.records.record import faults
from corpus.records.runs import box_of, checked_rle
from corpus.records.spelling import spelled

LARGEST = 1 << 53  # of ids: numbers that JSON keeps exactly
KEPT = ("crowd", "category", "thing", "difficult", "truncated")  # as they are
Box = tuple[float, float, float, float]


def checked_size(width: Any, height: Any) -> tuple[int, int]:
    """Width and height of an image in pixels."""
    sides = []
    for side in (width, height):
        try:
            sides.append(float(side))
        except (TypeError, ValueError, OverflowError):
            raise ValueError("no width and height of the image") from None
    if not all(side.is_integer() and side > 0 for side in sides):
        raise ValueError(f"no size of an image: {width!r} x {height!r}")
    if sides[0] * sides[1] > MAX_PIXELS:
        shown = f"{sides[0]:.0f} x {sides[1]:.0f}"
        raise ValueError(f"too many pixels: {shown}, allowed are {MAX_PIXELS:,}")
    return int(sides[0]), int(sides[1])


def checked_thing(said: Any, width: int, height: int, number: int = 0) -> Thing:
    """The object that a dictionary with the fields of Thing says; ValueError: why it is none.

    A box or an area that lacks is that of the mask; `number` is the id where there is none.
    """
    if not isinstance(said, dict):
        raise ValueError("object that is no dictionary")
    label = spelled(said["label"]) if isinstance(said.get("label"), str) else ""
    if not label or "\0" in label:
        raise ValueError("object without a class")
    given = said.get("id", number)
    if type(given) is not int or not 0 <= given < LARGEST:
        raise ValueError(f"object whose id is no whole number: {str(given)[:40]!r}")
    fields = {name: said[name] for name in KEPT if said.get(name) is not None}
    fields["polygons"] = _polygons(said.get("polygons"))
    fields["rle"], pixels = _rle(said.get("rle"), width, height)
    box = _box(said.get("box"), fields["polygons"], fields["rle"], width, height)
    _check_within(box, fields["polygons"], fields["rle"], width, height)
    area = pixels if said.get("area") is None else said["area"]
    area = _area(area, fields["polygons"], box, width, height)
    points = _keypoints(said.get("keypoints"))
    try:
        return Thing(id=given, label=label, box=box, area=area, keypoints=points, **fields)
    except ValidationError as error:
        raise ValueError(f"object with a bad field: {faults(error)}") from None


def finite(values: Any, what: str) -> list[float]:
    """A list of numbers as floats; ValueError for anything else."""
    if not isinstance(values, (list, tuple)):
        raise ValueError(f"object whose {what} is no list of numbers")
    try:
        found = list(map(float, values))
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"object whose {what} is no list of numbers") from None
    if not math.isfinite(sum(found)):  # as fast as it can be told: thousands of points an image
        raise ValueError(f"object whose {what} has a number that is not finite")
    return found


def _box(
    said: Any, polygons: list[list[float]] | None, rle: Rle | None, width: int, height: int
) -> Box:
    if said is None and rle is not None:
        return box_of(run_lengths(rle.counts.encode()), height)
    if said is None and polygons:
        xs = [x for part in polygons for x in part[::2]]
        ys = [y for part in polygons for y in part[1::2]]
        said = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    if said is None:
        raise ValueError("object without a box")
    box = finite(said, "box")
    if len(box) != 4:
        raise ValueError(f"object whose box has {len(box)} numbers, not 4")
    x, y, wide, high = box
    if wide <= 0 or high <= 0:
        raise ValueError(f"object without area: its box is {box}")
    if x >= width or y >= height or x + wide <= 0 or y + high <= 0:
        raise ValueError(f"object outside the image: its box is {box}, the image {width}x{height}")
    return x, y, wide, high


def _check_within(
    box: Box, polygons: list[list[float]] | None, rle: Rle | None, width: int, height: int
) -> None:
    """ValueError where the mask and the box of an object have nothing in common."""
    if rle is None and not polygons:
        return
    x, y, wide, high = _box(None, polygons, rle, width, height)
    if min(x + wide - box[0], box[0] + box[2] - x, y + high - box[1], box[1] + box[3] - y) <= 0:
        told = f"its box is {[*box]}, its mask lies in {[x, y, wide, high]}"
        raise ValueError(f"object whose mask lies outside of its box: {told}")


def _rle(said: Any, width: int, height: int) -> tuple[Rle | None, int | None]:
    """The mask and its pixels."""
    if said is None:
        return None, None
    rle, pixels = checked_rle(said, width, height)
    if not pixels:
        raise ValueError("object without area: its mask has no pixel")
    return rle, pixels


def _polygons(said: Any) -> list[list[float]] | None:
    """None also for an empty list, which COCO's files have where there is no mask."""
    if said is None or said == []:
        return None
    if not isinstance(said, list) or not all(isinstance(part, (list, tuple)) for part in said):
        raise ValueError("mask that is neither polygons nor run lengths (size, counts)")
    parts = [finite(part, "polygon") for part in said]
    for part in parts:
        if len(part) < 6 or len(part) % 2:
            raise ValueError(
                f"polygon of fewer than 3 points, or half a point: {len(part)} numbers"
            )
    return parts


def _area(
    said: Any, polygons: list[list[float]] | None, box: Box, width: int, height: int
) -> float:
    """As it is said, else the pixels of the mask, else of the box."""
    if said is None and polygons:
        from pycocotools import mask

        # numbers far beyond the image would be drawn one by one
        parts = [np.clip(part, -1, 2 * max(width, height)).tolist() for part in polygons]
        return float(mask.area(mask.merge(mask.frPyObjects(parts, height, width))))
    area = finite([box[2] * box[3] if said is None else said], "area")[0]
    if area < 0:
        raise ValueError(f"object with an area below 0: {area}")
    return area


def _keypoints(said: Any) -> list[float] | None:
    if said is None or said == []:
        return None
    points = finite(said, "keypoints")
    if len(points) % 3 or not {*points[2::3]} <= {0.0, 1.0, 2.0}:
        raise ValueError("keypoints that are no list of x, y and visibility 0, 1 or 2")
    return points
