"""Boxes of Pascal VOC: an XML for each image.

A source is a folder with Annotations/*.xml, the images in JPEGImages/ (or `--images`) and, where
there are splits, ImageSets/Main/{train,val,test}.txt; or any folder of XMLs beside their images, in
folders train, valid, test or not. An image in none of the lists that are there is left alone.

xmin, ymin, xmax, ymax count pixels from 1 and include the last: the box is
[xmin - 1, ymin - 1, xmax - xmin + 1, ymax - ymin + 1]. `difficult` and `truncated` are kept; pose,
occluded, parts, segmented and the masks of SegmentationObject/ are not. Ids of objects are their
places in the file, from 1. XML with a DOCTYPE, which may declare entities, is refused.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from corpus.records.checking import checked_size, checked_thing, finite
from corpus.records.objects import Thing
from corpus.sources.folders import below
from corpus.sources.headers import upright_size
from corpus.sources.places import Bucket, Folder, images_of
from corpus.sources.rows import Refused, SourceRow, described_row, refused_row
from corpus.sources.splits import split_within
from corpus.sources.xmlelements import FAULTS, no_doctype

LISTS = ("train", "val", "test")
EDGES = ("xmin", "ymin", "xmax", "ymax")
LARGEST = 64 << 20  # bytes of one XML
ENDINGS = (".jpg", ".jpeg", ".png", ".JPG")


class Voc(NamedTuple):
    """A folder of VOC: its images, where their names begin, how one is read."""

    root: Path
    images: Folder | Bucket
    read: Callable[[str], bytes]


def voc_rows(
    root: Path, images: str | None, left: Counter[str], read: Callable[[str], bytes]
) -> Iterator[SourceRow]:
    """Images with their objects, and what is refused."""
    inner = root / "JPEGImages"
    base = images or str(inner if inner.is_dir() else root)
    voc = Voc(root, images_of(base, str(root / "table")), read)
    lists = image_sets(root)
    folder = root / "Annotations"
    folder = folder if folder.is_dir() else root
    for name in below(folder, left):
        if not name.lower().endswith(".xml"):
            continue
        stem = PurePosixPath(name).stem
        splits = [split for split, stems in lists.items() if stem in stems]
        if len(splits) > 1:
            reason = f"contradiction: it is in the image sets {' and '.join(splits)}"
            yield refused_row(name, reason, stem)
        elif lists and not splits:
            left["XML whose image is in none of the image sets"] += 1
        else:
            split = splits[0] if splits else split_within(name.split("/")[:-1])
            yield from _image(voc, folder, name, split)


def image_sets(root: Path) -> dict[str, frozenset[str]]:
    """The names in ImageSets/Main/train.txt, val.txt and test.txt, of those that are there."""
    found = {}
    for split in LISTS:
        path = root / "ImageSets" / "Main" / f"{split}.txt"
        if path.is_file():
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            found[split] = frozenset(line.split()[0] for line in lines if line.strip())
    return found


def _image(voc: Voc, folder: Path, name: str, split: str | None) -> Iterator[SourceRow]:
    file = ""
    try:
        tree = parsed_xml(folder / name)
        file = (tree.findtext("filename") or "").strip()
        inside, locator = _place(voc, folder, name, file)
        raw: dict[str, Any] = dict(zip(("width", "height"), _size(voc, tree, locator), strict=True))
        raw["objects"] = []
        for number, element in enumerate(tree.findall("object"), 1):
            try:
                raw["objects"].append(_object(element, number, raw["width"], raw["height"]))
            except ValueError as error:
                yield refused_row(f"{name} object {number}", str(error), file)
        yield described_row(name, locator, raw, "boxes", inside, split)
    except ValueError as error:
        yield refused_row(name, str(error), file)


def _place(voc: Voc, folder: Path, name: str, file: str) -> tuple[str, str]:
    """(name, locator) of the image: as `filename` says, or else called as its XML is."""
    stem = str(PurePosixPath(name).with_suffix(""))
    above = "" if folder == voc.root / "Annotations" else f"{PurePosixPath(name).parent}/"
    names = [f"{above.removeprefix('./')}{file}"] if file else []
    inner = PurePosixPath(name).parent
    if file and inner.name == "annotations":
        # as people lay them out who had no devkit: images/ beside annotations/
        beside = (inner.parent / "images" / file, inner.parent / file)
        names += [str(each) for each in beside]
    names += [stem + ending for ending in ENDINGS]
    for one in names:
        inside, locator = voc.images.place(one)
        if isinstance(voc.images, Bucket) or Path(locator).is_file():
            return inside, locator
    raise Refused("file is missing")


def _size(voc: Voc, tree: Element, locator: str) -> tuple[int, int]:
    """As the XML says, or, where that is 0 or nothing, of the image."""
    sides = [(tree.findtext(f"size/{side}") or "0").strip() for side in ("width", "height")]
    if all(side in ("", "0") for side in sides):
        return checked_size(*upright_size(voc.read(locator)))
    return checked_size(*sides)


def _object(element: Element, number: int, width: int, height: int) -> Thing:
    edges = [element.findtext(f"bndbox/{edge}") for edge in EDGES]
    if None in edges:
        raise ValueError("object without a box")
    left, top, right, bottom = finite(edges, "box")
    said: dict[str, Any] = {"id": number, "label": element.findtext("name")}
    said["box"] = [left - 1, top - 1, right - left + 1, bottom - top + 1]
    for key in ("difficult", "truncated"):
        said[key] = (element.findtext(key) or "0").strip() == "1"
    return checked_thing(said, width, height)


def parsed_xml(path: Path) -> Element:
    """The root of an XML file; ValueError where it is none, too large or has a DOCTYPE."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise ValueError(f"XML cannot be read: {error.strerror}") from None
    if len(data) > LARGEST:
        raise ValueError(f"XML of over {LARGEST >> 20} MB")
    builder, parser = TreeBuilder(), expat.ParserCreate()
    parser.StartDoctypeDeclHandler = no_doctype
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)
        return builder.close()
    except FAULTS as error:
        raise ValueError(f"no XML, or cut off: {error}") from None
