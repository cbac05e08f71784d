"""A folder of VOC's `comp4_det_test_<class>.txt`; the truth one with `Annotations/*.xml`.

A line of results is `image score x1 y1 x2 y2`. The images are those of the truth's
`ImageSets/Main/<set>.txt`, where that file is there for the set that the results are named by
(`test`), else all that have annotations. The classes are those of the objects of these images. An
image without results has none found in it.
"""

import itertools
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import torch
from torch import Tensor

from metrics.blocks.metric import Reads
from metrics.blocks.refusing import some
from metrics.formats.files import known_only, number, read_text, repeated
from metrics.formats.pair import Pair

RESULTS = re.compile(r"^[^_]+_det_([^_]+)_(.+)\.txt$")
FLOAT = torch.float64  # an overlap of exactly one half is told from less
CORNERS = ("xmin", "ymin", "xmax", "ymax")


class Thing(NamedTuple):
    """A box of a class: its score, 1 in the truth, and whether it is difficult."""

    label: str
    box: list[float]
    score: float = 1.0
    difficult: bool = False


def read(predictions: Path, targets: Path, reads: Reads, common: bool = False) -> Pair:
    """The boxes of all images of the truth, in the order of their names.

    common: leave out images and classes of which the truth knows nothing. ValueError with cause and
    fix where a file, a line, an image or a class does not fit.
    """
    files = _results(predictions)
    true = _annotations(targets, {chosen for chosen, _ in files.values()})
    given: dict[str, list[Thing]] = {}
    for file, (_, label) in files.items():
        for image, thing in _lines(file, label):
            given.setdefault(image, []).append(thing)
    names = sorted({thing.label for thing in itertools.chain.from_iterable(true.values())})
    known_only(given, true, common, f"images of {predictions} are not in {targets}")
    labels = [label for _, label in files.values()]
    known_only(labels, names, common, f"classes of {predictions} are not in {targets}")
    place = {name: row for row, name in enumerate(names)}
    columns = _columns([given.get(image, []) for image in true], place)
    answers = _columns(true.values(), place)
    del columns["box_ignore"], answers["box_score"]
    return Pair(columns, answers, names, list(true))


def _results(folder: Path) -> dict[Path, tuple[str, str]]:
    """Set and class of each file of results, as its name says."""
    files = sorted(folder.glob("*.txt")) if folder.is_dir() else []
    found = {file: RESULTS.match(file.name) for file in files}
    other = [file.name for file, match in found.items() if not match]
    if not files or other:
        raise ValueError(
            f"{folder} has {some(other) or 'no .txt files'}: give a folder of results alone, named "
            "comp4_det_test_<class>.txt"
        )
    named = {file: (match[1], match[2]) for file, match in found.items()}
    twice = repeated(label for _, label in named.values())
    if twice:
        raise ValueError(
            f"{folder} has more than one file of {some(twice)}: keep those of one model and set"
        )
    return named


def _lines(file: Path, label: str) -> list[tuple[str, Thing]]:
    """(image, box) of each line of a file of results."""
    rows = []
    for place, line in enumerate(read_text(file).split("\n"), 1):
        values = line.split()
        if not values:
            continue
        try:
            if len(values) != 6:
                raise ValueError(f"{len(values)} columns")
            score, *box = map(number, values[1:])
        except ValueError as error:
            raise ValueError(
                f"{file}, line {place}: {error}; give image, score, x1, y1, x2, y2"
            ) from None
        rows.append((values[0], Thing(label, box, score)))
    return rows


def _annotations(folder: Path, chosen: set[str]) -> dict[str, list[Thing]]:
    """The objects of each image of the set, by its name."""
    xml = folder / "Annotations" if (folder / "Annotations").is_dir() else folder
    files = {file.stem: file for file in sorted(xml.glob("*.xml"))}
    if not files:
        raise ValueError(f"{folder} has no Annotations/*.xml: give the folder that holds them")
    images = list(files)
    listed = folder / "ImageSets" / "Main" / f"{'_'.join(sorted(chosen))}.txt"
    if len(chosen) == 1 and listed.is_file():
        images = [line.split()[0] for line in read_text(listed).split("\n") if line.strip()]
        twice = repeated(images)
        if twice:
            raise ValueError(f"{listed} has {some(twice)} more than once: keep one line of each")
        known_only(images, files, False, f"images of {listed} have no file in {xml}")
    return {image: _objects(files[image]) for image in images}


class _NoEntities(ElementTree.TreeBuilder):
    """A tree of XML that declares nothing: entities could grow without bounds."""

    def doctype(self, name: str, *_: str | None) -> None:
        raise ValueError(f"has a DOCTYPE {name}, which annotations have not: leave it out")


def _objects(file: Path) -> list[Thing]:
    try:
        parser = ElementTree.XMLParser(target=_NoEntities())
        tree = ElementTree.fromstring(file.read_bytes(), parser)
        return [_object(each) for each in tree.findall("object")]
    except ElementTree.ParseError as error:
        raise ValueError(f"{file} is no whole XML: {error}: is it cut off?") from None
    except ValueError as error:
        raise ValueError(f"{file} {error}") from None


def _object(entry: ElementTree.Element) -> Thing:
    label, box = entry.findtext("name"), entry.find("bndbox")
    if not label or box is None:
        raise ValueError("has an object without name or bndbox: give both")
    corners = [number(box.findtext(corner)) for corner in CORNERS]
    if corners[2] < corners[0] or corners[3] < corners[1]:
        raise ValueError(f"has a {label} whose box {corners} ends before it starts")
    difficult = (entry.findtext("difficult") or "0").strip() not in ("0", "")
    return Thing(label.strip(), corners, difficult=difficult)


def _columns(rows: Iterable[list[Thing]], place: Mapping[str, int]) -> dict[str, list[Tensor]]:
    """Columns of images in this order, of the objects whose class has a place."""
    columns: dict[str, list[Tensor]] = {}
    for things in rows:
        kept = [thing for thing in things if thing.label in place]
        values = {
            "boxes": torch.tensor([thing.box for thing in kept], dtype=FLOAT).reshape(-1, 4),
            "box_label": torch.tensor([place[thing.label] for thing in kept]).long(),
            "box_score": torch.tensor([thing.score for thing in kept], dtype=FLOAT),
            "box_ignore": torch.tensor([thing.difficult for thing in kept]).bool(),
        }
        for name, value in values.items():
            columns.setdefault(name, []).append(value)
    return columns
