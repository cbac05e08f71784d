"""Objects of CVAT's XML, "CVAT for images 1.1": boxes, polygons, ellipses and masks of images.

A source is one such file, or a folder with some; images lie in images/ beside it or beside it
(those of a project also in a folder named after their subset), or below `--images`. A subset whose
name says a split gives it.

Places are COCO's: (0, 0) is the corner of the first pixel. A mask is run lengths row by row within
left, top, width, height, the first of background. `rotation` is in degrees, clockwise, about the
centre: a turned box becomes the upright box around it, an ellipse a polygon of 64 points, which are
counted. Polylines, points, cuboids, skeletons and tags are no objects, and shapes that are
`outside` are not in their image: they are left alone and counted. The attributes is_crowd,
difficult and truncated are kept; occluded, z_order, source, group_id and other attributes are not.
Ids of objects are their places among the shapes of the image, from 1.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from corpus.records.checking import checked_size, checked_thing, finite
from corpus.records.objects import Thing
from corpus.sources.places import Bucket, images_of
from corpus.sources.rows import SourceRow, described_row, refused_row
from corpus.sources.splits import split_within
from corpus.sources.xmlelements import elements

EDGES = ("xtl", "ytl", "xbr", "ybr")
CORNERS = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2  # of a box of side 1 about 0
POINTS = 64  # of the polygon of an ellipse
FLAGS = {"is_crowd": "crowd", "iscrowd": "crowd", "difficult": "difficult"}
FLAGS |= {"truncated": "truncated"}
NO_OBJECTS = ("polyline", "points", "cuboid", "skeleton", "tag")
TURNED = "taken as the upright box around it: turned box of CVAT"
ROUND = f"taken as a polygon of {POINTS} points: ellipse of CVAT"
VIDEO = "is CVAT's XML of a video (tracks): export the task as 'CVAT for images 1.1'"


class CvatReader:
    """The rows of CVAT's files."""

    def __init__(
        self,
        files: list[Path],
        images: str | None,
        left: Counter[str],
        about: dict[str, Any],
    ):
        """`about["categories"]` takes the classes in the order of the files' meta."""
        self.files, self.left = files, left
        self.categories = about.setdefault("categories", [])
        self.numbers: dict[str, int] = {}
        root = files[0].parent
        inner = root / "images"
        base = images or str(inner if inner.is_dir() else root)
        self.places = images_of(base, f"{base}/table")

    def rows(self) -> Iterator[SourceRow]:
        """Images with their objects, and what is refused; ValueError for a file that is none."""
        for file in self.files:
            for element in elements(file, ("meta", "image", "track")):
                if element.tag == "track":
                    raise ValueError(f"{file} {VIDEO}")
                if element.tag == "image":
                    yield from self._image(file, element)
                    continue
                for name in element.iterfind(".//labels/label/name"):
                    self._number((name.text or "").strip())

    def _number(self, label: str) -> int:
        """The number of a class, from 1."""
        if label not in self.numbers:
            self.numbers[label] = len(self.numbers) + 1
            self.categories.append({"id": self.numbers[label], "name": label})
        return self.numbers[label]

    def _image(self, file: Path, image: Element) -> Iterator[SourceRow]:
        name, number = image.get("name") or "", image.get("id") or ""
        where = f"{file.name} image {number or name}"
        try:
            inside, locator = self._place(name, image.get("subset") or "")
            width, height = checked_size(image.get("width"), image.get("height"))
            raw: dict[str, Any] = {"width": width, "height": height, "objects": []}
            raw["number"] = int(number) if number.isdecimal() and len(number) < 16 else None
            for place, shape in enumerate(image, 1):
                try:
                    raw["objects"] += self._objects(shape, place, width, height)
                except ValueError as error:
                    yield refused_row(f"{where} shape {place}", str(error), name)
            split = split_within([image.get("subset") or ""])
            yield described_row(where, locator, raw, "boxes", inside, split)
        except ValueError as error:
            yield refused_row(where, str(error), name)

    def _place(self, name: str, subset: str) -> tuple[str, str]:
        """(name, locator) of an image; where it is not there, of where it would be."""
        first = self.places.place(name)
        if subset and not isinstance(self.places, Bucket) and not Path(first[1]).is_file():
            other = self.places.place(f"{subset}/{name}")
            return other if Path(other[1]).is_file() else first
        return first

    def _objects(self, shape: Element, place: int, width: int, height: int) -> list[Thing]:
        """The object of a shape, or none."""
        if shape.tag in NO_OBJECTS:
            self.left[f"{shape.tag} of CVAT, which is no object"] += 1
            return []
        if shape.tag not in SHAPES:
            self.left["element of CVAT's XML that is no shape"] += 1
            return []
        if (shape.get("outside") or "0").strip() == "1":
            self.left["shape that is outside of its image, as CVAT says"] += 1
            return []
        label = (shape.get("label") or "").strip()
        said: dict[str, Any] = {"id": place, "label": label} | self._flags(shape)
        turned = finite([shape.get("rotation") or 0], "rotation")[0] % 360
        said |= SHAPES[shape.tag](shape, turned, width, height)
        thing = checked_thing(said, width, height)
        if shape.tag == "ellipse" or turned:
            self.left[ROUND if shape.tag == "ellipse" else TURNED] += 1
        more = {"category": self._number(label), "rle": thing.rle and thing.rle.as_text()}
        return [thing.model_copy(update=more)]

    def _flags(self, shape: Element) -> dict[str, bool]:
        found = {}
        for one in shape.iterfind("attribute"):
            key = (one.get("name") or "").strip().lower()
            if key in FLAGS:
                found[FLAGS[key]] = (one.text or "").strip().lower() in ("1", "true", "yes")
            else:
                self.left["attribute of CVAT that is not kept"] += 1
        return found


def _numbers(shape: Element, keys: tuple[str, ...]) -> list[float]:
    said = [shape.get(key) for key in keys]
    if None in said:
        raise ValueError(f"{shape.tag} without {keys[said.index(None)]}")
    return finite(said, shape.tag)


def _turned(points: np.ndarray, centre: tuple[float, float], degrees: float) -> np.ndarray:
    """Points (n, 2) about (0, 0), turned clockwise where y goes down, about a centre."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return points @ np.array([[cosine, sine], [-sine, cosine]]) + centre


def _box(shape: Element, degrees: float, *_: int) -> dict[str, Any]:
    left, top, right, bottom = _numbers(shape, EDGES)
    if not degrees:
        return {"box": [left, top, right - left, bottom - top]}
    centre = ((left + right) / 2, (top + bottom) / 2)
    corners = _turned(CORNERS * (right - left, bottom - top), centre, degrees)
    low, high = corners.min(0), corners.max(0)
    return {"box": [*low.tolist(), *(high - low).tolist()]}


def _polygon(shape: Element, *_: float) -> dict[str, Any]:
    pairs = [pair.split(",") for pair in (shape.get("points") or "").split(";")]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError("polygon whose points are no pairs of numbers")
    return {"polygons": [finite([number for pair in pairs for number in pair], "polygon")]}


def _ellipse(shape: Element, degrees: float, *_: int) -> dict[str, Any]:
    x, y, wide, high = _numbers(shape, ("cx", "cy", "rx", "ry"))
    angles = np.arange(POINTS) * (2 * math.pi / POINTS)
    points = np.stack([wide * np.cos(angles), high * np.sin(angles)], 1)
    return {"polygons": [_turned(points, (x, y), degrees).ravel().tolist()]}


def _mask(shape: Element, _: float, width: int, height: int) -> dict[str, Any]:
    left, top, wide, high = _numbers(shape, ("left", "top", "width", "height"))
    sides = (left, top, wide, high)
    inside = min(sides) >= 0 and left + wide <= width and top + high <= height
    if not inside or not all(map(float.is_integer, sides)):
        raise ValueError(f"mask that is not of pixels of the image: {[*sides]}")
    try:
        runs = np.array((shape.get("rle") or "").split(","), np.int64)
    except (ValueError, OverflowError):
        raise ValueError("run lengths that cannot be read") from None
    if runs.min() < 0 or runs.max() > wide * high or runs.sum() != wide * high:
        raise ValueError(f"run lengths that do not cover the mask's {wide:g} x {high:g} px")
    columns = np.zeros((int(wide), height), np.int8)
    filled = np.repeat(np.arange(len(runs)) % 2, runs).reshape(int(high), int(wide)).T
    columns[:, int(top) : int(top + high)] = filled
    ends = np.flatnonzero(np.diff(columns.ravel(), prepend=0, append=0)) + int(left) * height
    rest = [] if len(ends) and ends[-1] == width * height else [width * height]
    counts = np.diff(np.concatenate([[0], ends, rest]).astype(np.int64))
    return {"rle": {"size": [height, width], "counts": counts.tolist()}}


SHAPES: dict[str, Callable[..., dict[str, Any]]] = {
    "box": _box,
    "polygon": _polygon,
    "ellipse": _ellipse,
    "mask": _mask,
}
