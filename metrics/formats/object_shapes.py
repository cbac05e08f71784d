"""Boxes, masks and keypoints as COCO's files write them, checked and as the metrics read them."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metrics.blocks.masks.runlengths import runs_of
from metrics.formats.json_files import refuse

Row = Mapping[str, Any]
# column: the key that it stands under
SHAPE_KEYS = {"boxes": "bbox", "masks": "segmentation", "keypoints": "keypoints"}
MAX_PIXELS = 50_000_000  # of an image, as of those that corpus/media/images.py decodes
# px: pycocotools takes memory for every px between two points of a polygon
FARTHEST = 100_000
TOGETHER = 2000  # masks that are checked at a time


def number(value: Any) -> bool:
    """Whether it is a number, and not NaN."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return plain and not math.isnan(value)


def shapes_of(
    name: str, file: Path, by_image: Mapping[Any, Sequence[Row]], images: Mapping[Any, Row]
) -> list[Any]:
    """The column of this name, a row per image; ValueError where an object has no such shape.

    by_image: the objects of each image.
    """
    key = SHAPE_KEYS[name]
    rows = [row for some in by_image.values() for row in some]
    wrong = [_called(row) for row in rows if not isinstance(row.get(key), list | dict)]
    fix = f"give a file of {name}, or a metric of what it has"
    refuse(file, wrong, len(rows), f"objects have no {key}", fix)
    if name == "masks":
        return _masks(file, by_image, images)
    return (_boxes if name == "boxes" else _keypoints)(file, rows, by_image)


def _called(row: Row) -> str:
    """What an object is called in a message."""
    return f"id {row['id']}" if "id" in row else f"one of image {row['image_id']}"


def _boxes(file: Path, rows: Sequence[Row], by_image: Mapping[Any, Sequence[Row]]) -> list[Tensor]:
    """x1 y1 x2 y2 of x, y, width, height."""
    wrong = [_called(row) for row in rows if not _is_box(row["bbox"])]
    what = "boxes are no four numbers x, y, width, height, or of a negative side"
    refuse(file, wrong, len(rows), what, "write them so")
    boxes = torch.tensor([row["bbox"] for row in rows], dtype=torch.float64).view(len(rows), 4)
    boxes[:, 2:] += boxes[:, :2]
    return list(boxes.split(_sizes(by_image)))


def _sizes(by_image: Mapping[Any, Sequence[Row]]) -> list[int]:
    return list(map(len, by_image.values()))


def _is_box(box: Any) -> bool:
    plain = isinstance(box, list) and len(box) == 4 and all(map(number, box))
    return plain and all(map(math.isfinite, box)) and min(box[2:]) >= 0


def _keypoints(
    file: Path, rows: Sequence[Row], by_image: Mapping[Any, Sequence[Row]]
) -> list[Tensor]:
    """(m, k, 3) of x, y, visibility, x, y, visibility, ..."""
    wrong = [_called(row) for row in rows if not all(map(number, row["keypoints"]))]
    refuse(file, wrong, len(rows), "objects have keypoints that are no numbers", "write them so")
    lengths = {len(row["keypoints"]) for row in rows} or {3}
    if len(lengths) > 1 or min(lengths) % 3:
        raise ValueError(
            f"{file}: keypoints of {sorted(lengths)} numbers; give x, y, visibility of as many "
            "points for each object"
        )
    points = torch.tensor([row["keypoints"] for row in rows], dtype=torch.float64)
    return list(points.view(len(rows), lengths.pop() // 3, 3).split(_sizes(by_image)))


def _masks(
    file: Path, by_image: Mapping[Any, Sequence[Row]], images: Mapping[Any, Row]
) -> list[list[Row]]:
    """Run lengths; polygons are filled in the size of their image."""
    found, wrong = [], []
    for key, some in by_image.items():
        size = _size(file, images[key])
        masks = [_mask(row["segmentation"], size) for row in some]
        wrong += [_called(row) for row, mask in zip(some, masks, strict=True) if mask is None]
        found.append(masks)
    total = sum(map(len, found))
    what = "masks are no polygons of three points or more, and no run lengths of their image's size"
    refuse(file, wrong, total, what, "encode them in the size of the image")
    _add_up(file, [mask for masks in found for mask in masks])
    return found


def _size(file: Path, image: Row) -> tuple[int, int] | None:
    """(height, width) of an image where it is told."""
    size = image.get("height"), image.get("width")
    if size == (None, None):
        return None
    if not all(isinstance(side, int) and side > 0 for side in size) or math.prod(size) > MAX_PIXELS:
        raise ValueError(
            f"{file}: image {image['id']} is of height {size[0]} and width {size[1]}; give whole "
            f"numbers, together of at most {MAX_PIXELS:,} pixels"
        )
    return size


def _mask(told: Any, size: tuple[int, int] | None) -> Row | None:
    """Compressed run lengths; None where it is no mask of this size."""
    from pycocotools import mask

    if isinstance(told, list):
        if size is None or not told or not all(map(_is_polygon, told)):
            return None
        return mask.merge(mask.frPyObjects(told, *size))
    if not isinstance(told, dict) or not _is_size(told.get("size"), size):
        return None
    counts = told.get("counts")
    if isinstance(counts, list):
        whole = np.array(counts) if all(type(each) is int for each in counts) else np.array([-1])
        if (whole < 0).any() or whole.sum() != math.prod(told["size"]):
            return None
        return mask.frPyObjects(told, *told["size"])
    if not isinstance(counts, str) or not counts.isascii():
        return None
    return {"size": told["size"], "counts": counts.encode()}


def _is_polygon(points: Any) -> bool:
    if not isinstance(points, list) or len(points) < 6 or len(points) % 2:
        return False
    return all(map(number, points)) and max(map(abs, points)) <= FARTHEST


def _is_size(told: Any, size: tuple[int, int] | None) -> bool:
    if not isinstance(told, list) or len(told) != 2 or not all(type(side) is int for side in told):
        return False
    return min(told) > 0 and math.prod(told) <= MAX_PIXELS and tuple(told) == (size or tuple(told))


def _add_up(file: Path, masks: Sequence[Row]) -> None:
    """ValueError where counts do not fill the image: pycocotools would read beyond them."""
    by_pixels: dict[int, list[Row]] = {}
    for each in masks:
        by_pixels.setdefault(math.prod(each["size"]), []).append(each)
    for pixels, some in by_pixels.items():
        for first in range(0, len(some), TOGETHER):
            try:
                runs_of(some[first : first + TOGETHER], pixels)
            except ValueError as error:
                raise ValueError(f"{file}: {error}") from None
