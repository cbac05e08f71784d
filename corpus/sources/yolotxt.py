"""Boxes of YOLO's text files: a line for each object, a file for each image.

A source is a folder with images/ and labels/, each with train/, val/, test/ below, or the other way
round (train/images/, train/labels/), or without splits; the file of a/images/b.jpg is
a/labels/b.txt. Names of the classes are in data.yaml (`names`) or, a line each, in classes.txt.

A line is a class number and the box's centre, width and height, or three or more points x, y of a
polygon, all as parts of the upright image's sides. A box has its four edges and a polygon its
points in the image's pixels then; ids of objects are their lines. An image without a file, or with
an empty one, has no object. Lists of images (train.txt), poses and confidences are not read.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from corpus.records.checking import checked_size, checked_thing
from corpus.records.objects import Thing
from corpus.records.spelling import spelled
from corpus.sources.folders import below
from corpus.sources.formats import named_image
from corpus.sources.headers import upright_size
from corpus.sources.places import Folder
from corpus.sources.rows import SourceRow, described_row, refused_row
from corpus.sources.splits import split_within

LARGEST = 64 << 20  # bytes of one file of labels
DEEP = 8  # folders below the root
UNNAMED = "taken to have no object: image without a file of labels"


def yolo_rows(
    root: Path,
    images: str | None,
    left: Counter[str],
    about: dict[str, Any],
    read: Callable[[str], bytes],
) -> Iterator[SourceRow]:
    """Images with their objects, and what is refused; ValueError where classes have no names."""
    if images is not None:
        raise ValueError(f"images of {root} lie in its folder images/: leave --images out")
    names = class_names(root)
    about["categories"] = [{"id": i, "name": name} for i, name in enumerate(names)]
    places, files = Folder(str(root)), [*below(root, left, DEEP)]
    labels = {name for name in files if name.endswith(".txt") and "labels" in name.split("/")}
    for name in filter(named_image, files):
        lines = labels_of(name)
        if lines not in labels:
            left[UNNAMED] += 1
        labels.discard(lines)
        yield from _image(root, name, lines, names, places, read)
    for name in sorted(labels):
        if PurePosixPath(name).name != "classes.txt":
            yield refused_row(name, "labels without an image", name)


def class_names(root: Path) -> list[str]:
    """The names of the classes by their numbers."""
    for name in ("data.yaml", "data.yml"):
        if (root / name).is_file():
            return _of_yaml(root / name)
    for path in (root / "classes.txt", root / "labels" / "classes.txt"):
        if path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            return [spelled(line) for line in lines if line.strip()]
    raise ValueError(f"{root} has no data.yaml (names) and no classes.txt: name its classes there")


def _of_yaml(path: Path) -> list[str]:
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8", errors="replace"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {str(error)[:200]}") from None
    names = said.get("names") if isinstance(said, dict) else None
    if isinstance(said, dict) and said.get("kpt_shape"):
        raise ValueError(f"{path} is of poses (kpt_shape), which are not read: write COCO's JSON")
    if isinstance(names, dict) and sorted(names) == [*range(len(names))]:
        names = [names[i] for i in range(len(names))]
    if not isinstance(names, list) or not names:
        raise ValueError(
            f"{path} has no `names`, a list of the classes or numbers 0, 1, ... to them"
        )
    return [spelled(str(name)) for name in names]


def labels_of(image: str) -> str:
    """The file of an image's labels: labels/ in the place of its last folder images/."""
    parts = [*PurePosixPath(image).with_suffix(".txt").parts]
    places = [i for i, part in enumerate(parts[:-1]) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return "/".join(parts)


def _image(
    root: Path,
    name: str,
    lines: str,
    names: list[str],
    places: Folder,
    read: Callable[[str], bytes],
) -> Iterator[SourceRow]:
    try:
        inside, locator = places.place(name)
        width, height = checked_size(*upright_size(read(locator)))
        raw: dict[str, Any] = {"width": width, "height": height, "objects": []}
        for number, line in enumerate(_lines(root / lines), 1):
            if not line.strip():
                continue
            try:
                raw["objects"].append(labelled(line, number, names, width, height))
            except ValueError as error:
                yield refused_row(f"{lines} line {number}", str(error), name)
        split = split_within(name.split("/")[:-1])
        yield described_row(name, locator, raw, "boxes", inside, split)
    except ValueError as error:
        yield refused_row(name, str(error), name)


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    if path.stat().st_size > LARGEST:
        raise ValueError(f"file of labels of over {LARGEST >> 20} MB")
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def labelled(line: str, number: int, names: list[str], width: int, height: int) -> Thing:
    """The object of one line."""
    try:
        which, *parts = map(float, line.split())
    except ValueError:
        raise ValueError(f"line that is no list of numbers: {line[:60]!r}") from None
    if not which.is_integer() or not 0 <= which < len(names):
        raise ValueError(f"class number beyond the {len(names)} names: {which:g}")
    if not all(0 <= part <= 1 for part in parts):
        raise ValueError(f"numbers outside of 0 to 1: {line[:60]!r}")
    said: dict[str, Any] = {"id": number, "label": names[int(which)], "category": int(which)}
    if len(parts) == 4:
        x, y, wide, high = parts
        left, top = (x - wide / 2) * width, (y - high / 2) * height
        said["box"] = [left, top, wide * width, high * height]
    elif len(parts) >= 6 and len(parts) % 2 == 0:
        points = [part * (height if i % 2 else width) for i, part in enumerate(parts)]
        said["polygons"] = [points]
    else:
        raise ValueError(f"line of {1 + len(parts)} numbers: 5 are a box, an odd 7 or more points")
    return checked_thing(said, width, height)
