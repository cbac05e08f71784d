"""A stored set of annotated images, as the writers of formats ask for it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from corpus.records.objects import Scene, Thing
from corpus.records.spelling import spelled
from corpus.sources.rows import leaves
from corpus.sources.splits import split_named
from corpus.store.categories import read_categories
from corpus.store.read import kind_of, place_of, read_records, read_store

SPLITS = ("train", "val", "test")
PLACES = frozenset({"images", "jpegimages"})  # folders that say nothing of an image


class Export(NamedTuple):
    """What was written, in numbers, and what a reader should know, a line each."""

    images: int
    objects: int
    files: int
    notes: list[str]


class FileIds(NamedTuple):
    """Ids of the images and of the annotations of a file, in the order of the store."""

    numbers: list[int | None]
    ids: list[int]


class Survey(NamedTuple):
    """The classes of a set, the ids of each of its files, and whether it names absent classes."""

    categories: "Categories"
    files: dict[str, FileIds]
    federated: bool

    def key(self, scene: Scene) -> str:
        """Of the file that a scene is in: its split, or nothing where there is one file."""
        return "" if "" in self.files else scene.split


class Stored:
    """The scenes of a set; `notes` counts what a format has no place for."""

    def __init__(self, data: Path, target: str, formats: dict[str, str], form: str):
        """`formats`: the kind that each is for. ValueError for a set that is not there, or of
        another kind."""
        name = f"targets/{target}"
        self.folder = place_of(data, name)
        if not (self.folder / "store.json").exists():
            known = sorted(path.name for path in (data / "targets").glob("*") if path.is_dir())
            raise ValueError(f"{name}: no such set; there are {', '.join(known) or 'none'}")
        kind = kind_of(self.folder, name).name
        if kind != formats[form]:
            fits = [one for one, of in formats.items() if of == kind]
            cure = f"it exports as {', '.join(fits)}" if fits else "it has no annotated objects"
            raise ValueError(f"{name} holds {kind}, and {form} is of {formats[form]}: {cure}")
        self.left: Counter[str] = Counter()
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[Scene]:
        """Its records, in the order of the store."""
        yield from read_records(self.folder, Scene)

    def pictures(self) -> Iterator[tuple[Scene, bytes]]:
        """Records with the bytes of their images as they were imported."""
        yield from read_store(self.folder, Scene)

    def survey(self, single: bool = False) -> "Survey":
        """What is known after all records were read once; `single`: all splits in one file."""
        used: dict[tuple[int | None, str], bool] = {}
        names: set[str] = set()
        files: dict[str, FileIds] = {}
        for scene in self:
            names.update(scene.absent, scene.partial)
            about = files.setdefault("" if single else scene.split, FileIds([], []))
            about.numbers.append(scene.number)
            about.ids.extend(thing.id for thing in scene.objects)
            for thing in scene.objects:
                used.setdefault((thing.category, thing.label), thing.thing)
        categories = Categories(read_categories(self.folder), used, names)
        self.notes += categories.notes
        return Survey(categories, {key: files[key] for key in sorted(files)}, bool(names))

    def unique(self, values: Sequence[int | None], what: str) -> list[int]:
        """`numbered` values; a note where they are given anew, though the source had some."""
        found, own = numbered(values)
        if not own and any(value is not None for value in values):
            self.notes.append(f"{what} are not unique, given anew from 1")
        return found

    def told(self) -> list[str]:
        """The notes, and what was left out."""
        left = [f"not in this format: {n:,} x {what}" for what, n in sorted(self.left.items())]
        return [*self.notes, *left]


class Categories:
    """The classes of a set: `entries` as COCO lists them, and the number of each object's class.

    They are those of the source where these are without contradiction; else numbered anew from 1,
    in alphabetical order.
    """

    def __init__(
        self,
        given: Sequence[dict[str, Any]],
        used: dict[tuple[int | None, str], bool],
        names: set[str],
    ):
        self.notes: list[str] = []
        listed = {(one.get("id"), spelled(str(one.get("name")))) for one in given}
        pairs = listed | {*used}
        numbers = [number for number, _ in pairs]
        sound = None not in numbers and len({*numbers}) == len(numbers)
        self._anew = not sound
        if sound:
            self.entries = [*given]
            for number, label in sorted(pairs - listed):
                self.entries.append(_entry(number, label, used[number, label]))
            self.number = {label: number for number, label in sorted(pairs, reverse=True)}
        else:
            labels = {label: thing for (_, label), thing in used.items()}
            self.number = {label: i for i, label in enumerate(sorted(labels), 1)}
            self.entries = [_entry(i, name, labels[name]) for name, i in self.number.items()]
            if any(number is not None for number, _ in used):
                self.notes.append("the numbers of classes contradict each other: numbered from 1")
        for label in sorted(names - self.number.keys()):
            self.number[label] = 1 + max(self.number.values(), default=0)
            self.entries.append(_entry(self.number[label], label, True))

    def of(self, thing: Thing) -> int:
        """The number of an object's class."""
        return self.number[thing.label] if self._anew else thing.category


def _entry(number: int, name: str, thing: bool) -> dict[str, Any]:
    return {"id": number, "name": name, "isthing": int(thing)}


def numbered(values: Sequence[int | None]) -> tuple[list[int], bool]:
    """The numbers as they are where each is there once; else 1, 2, ...: and whether they are."""
    if None not in values and len({*values}) == len(values):
        return [*values], True
    return [*range(1, len(values) + 1)], False


def file_of(scene: Scene) -> str:
    """The name of an image's file as its source has it; never one that leads out of a folder."""
    name = scene.file or scene.id
    return name if not leaves(name) else "__".join(part for part in name.split("/") if part)


class FlatNames:
    """Names of images without folders and ending, each once."""

    def __init__(self):
        self._given: Counter[str] = Counter()

    def of(self, scene: Scene) -> str:
        """The next name: folders that only say where images lie, or which split, are left out."""
        path = PurePosixPath(file_of(scene))
        said = [part for part in path.parts[:-1] if part.lower() not in PLACES]
        parts = [part for part in said if not split_named(part) and part not in "/"]
        stem = "__".join([*parts, path.stem])
        self._given[stem] += 1
        return stem if self._given[stem] == 1 else f"{stem}-{self._given[stem]}"
