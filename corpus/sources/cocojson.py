"""Boxes of COCO's JSON: objects of images with polygons, run lengths, crowds, keypoints; LVIS too.

A source is one file, or a folder with annotations/instances_{train,val,test}*.json (or lvis_*,
person_keypoints_*, panoptic_*), or with train/_annotations.coco.json and so on. Each file of a
folder gives its images the split that its name says; one that is named itself gives 70/10/20, as a
table does. The id of a record is the image's name below the images' folder.

An object that cannot be used is a refused row of its own, and its image stays. LVIS:
neg_category_ids are `absent`, not_exhaustive_category_ids `partial`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from corpus.records.checking import checked_size, checked_thing
from corpus.records.objects import Thing
from corpus.records.spelling import spelled
from corpus.sources.places import images_of
from corpus.sources.rows import Refused, SourceRow, described_row, refused_row
from corpus.sources.streaming import NONE, Annotations, parsed

KEPT = {"bbox": "box", "area": "area", "keypoints": "keypoints", "category_id": "category"}
FEDERATED = {"neg_category_ids": "absent", "not_exhaustive_category_ids": "partial"}


class AnnotationFile(NamedTuple):
    """A file of annotations, its name in messages, where its images lie, what precedes their names
    in ids, the split of its images, where it says one, and the folder of its panoptic PNGs."""

    path: Path
    name: str
    images: str
    prefix: str = ""
    split: str | None = None
    maps: str = ""


class Category(NamedTuple):
    """A class: its name as stored, and whether it is of things, and not stuff."""

    label: str
    thing: bool


def categories_of(path: Path, entries: list[dict[str, Any]]) -> dict[int, Category]:
    """The classes by their ids; ValueError where one has no name, or two have one id."""
    found: dict[int, Category] = {}
    for entry in entries:
        number, name = entry.get("id"), entry.get("name")
        if type(number) is not int or not isinstance(name, str) or not spelled(name):
            raise ValueError(f"{path} has a category without id or name: {str(entry)[:80]}")
        one = Category(spelled(name), bool(entry.get("isthing", 1)))
        if found.setdefault(number, one) != one:
            both = f"{found[number].label!r} and {one.label!r}"
            raise ValueError(f"{path} has two categories of id {number}: {both}; give each its own")
    return found


class CocoReader:
    """The rows of one file."""

    kind = "boxes"

    def __init__(self, file: AnnotationFile, about: dict[str, Any], read: Callable[[str], bytes]):
        """`about["categories"]` takes the file's categories as they are; `read`: as of `fetch`."""
        self.read = read
        self.file, self.found = file, Annotations(file.path)
        self.categories = categories_of(file.path, self.found.categories)
        self.about = about.setdefault("categories", [])
        self.about += [one for one in self.found.categories if one not in self.about]
        self.places = images_of(file.images, str(file.path))
        self._seen: set[int] = set()  # repeated ids of annotations that have occurred
        self._images: dict[int, str] = {}  # repeated ids of images, and the file of each

    def rows(self) -> Iterator[SourceRow]:
        """Images with their objects, and what is refused."""
        for place in self.found.homeless():
            said = f"image_id {place[1]}" if place[1] != NONE else "no image_id"
            yield refused_row(
                self._where("annotation", place), f"object of an image that is not listed: {said}"
            )
        names = self._repeated_images()
        for place in self.found.images:
            where, name = self._where("image", place), ""
            try:
                image = parsed(self.found.entry(place))
                name = file_name(image)
                self._check_id(place, name, names)
                yield from self._image(where, place, image, name)
            except ValueError as error:
                yield refused_row(where, str(error), name)

    def _image(
        self, where: str, place: np.ndarray, image: dict[str, Any], name: str
    ) -> Iterator[SourceRow]:
        if not name:
            raise Refused("no image name")
        inside, locator = self.places.place(self.file.prefix + name)
        width, height = checked_size(image.get("width"), image.get("height"))
        raw = {"width": width, "height": height, "number": int(place[0])}
        raw["file"] = None if inside == name else name
        raw["objects"], refused = self.objects(int(place[0]), width, height)
        yield from (refused_row(there, reason, name) for there, reason in refused)
        for key, field in FEDERATED.items():
            numbers = image.get(key) or ()
            known = [self.categories[one] for one in numbers if one in self.categories]
            raw[field] = sorted({one.label for one in known})
            for one in numbers:
                if one not in self.categories:
                    yield refused_row(where, f"unknown category id: {one} in {key}", name)
        yield described_row(where, locator, raw, self.kind, inside, self.file.split)

    def objects(
        self, number: int, width: int, height: int
    ) -> tuple[list[Thing], list[tuple[str, str]]]:
        """The objects of an image, and (where, why) of those that are refused."""
        things, refused = [], []
        for place in self.found.of(number):
            try:
                things.append(self._object(place, width, height))
            except ValueError as error:
                refused.append((self._where("annotation", place), str(error)))
        return things, refused

    def _object(self, place: np.ndarray, width: int, height: int) -> Thing:
        number = int(place[0])
        if number in self.found.repeated:
            if number in self._seen:
                raise ValueError(f"duplicate annotation id: {number}")
            self._seen.add(number)
        entry = parsed(self.found.entry(place))
        category = category_in(self.categories, entry)
        said = {field: entry.get(name) for name, field in KEPT.items()}
        said |= {"id": entry.get("id"), "label": category.label, "crowd": _yes(entry, "iscrowd")}
        said["rle" if isinstance(entry.get("segmentation"), dict) else "polygons"] = entry.get(
            "segmentation"
        )
        return checked_thing(said, width, height)

    def _check_id(self, place: np.ndarray, name: str, names: dict[int, set[str]]) -> None:
        """Of entries with one id and one file the first counts; of several files none does."""
        number = int(place[0])
        if number == NONE:
            raise Refused("image whose id is no whole number")
        if len(names.get(number, ())) > 1:
            raise Refused(f"duplicate image id: {number}, of {len(names[number])} files")
        if number in names:
            if number in self._images:
                raise Refused(f"duplicate image id: {number}")
            self._images[number] = name

    def _repeated_images(self) -> dict[int, set[str]]:
        """Ids that several entries have, with the files that they name."""
        ids, counts = np.unique(self.found.images[:, 0], return_counts=True)
        names: dict[int, set[str]] = {int(one): set() for one in ids[(counts > 1) & (ids != NONE)]}
        for place in self.found.images if names else ():
            if int(place[0]) in names:
                try:
                    names[int(place[0])].add(file_name(parsed(self.found.entry(place))))
                except ValueError:  # told when its turn comes
                    continue
        return names

    def _where(self, what: str, place: np.ndarray) -> str:
        number = int(place[0])
        number = f"at byte {place[2]}" if number == NONE else number
        return f"{self.file.name} {what} {number}"


def file_name(image: dict[str, Any]) -> str:
    """The name of an image's file; LVIS names it by its address alone."""
    name = image.get("file_name")
    if not name and isinstance(image.get("coco_url"), str):
        name = "/".join(image["coco_url"].split("/")[-2:])
    return name if isinstance(name, str) else ""


def category_in(categories: dict[int, Category], entry: dict[str, Any]) -> Category:
    """The class of an annotation or segment; ValueError where it has none."""
    number = entry.get("category_id")
    if type(number) is not int or number not in categories:
        raise ValueError(f"unknown category id: {str(number)[:40]}")
    return categories[number]


def _yes(entry: dict[str, Any], key: str) -> bool:
    said = entry.get(key) or 0
    if said not in (0, 1):
        raise ValueError(f"object whose {key} is neither 0 nor 1: {str(said)[:40]}")
    return bool(said)
