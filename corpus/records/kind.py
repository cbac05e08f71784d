"""What the images of a data set come with: one file of corpus/kinds each, found by its name.

A kind says how a row of a source becomes a record, how a record is checked and shown, and what of
it a training reads. It is the class whose name is that of its file: `Tags` of corpus/kinds/tags.py.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from corpus.records.record import Record

# empty, but in a copy of this code inside another package: its kinds are those beside it
PREFIX = __name__.removesuffix("corpus.records.kind")
Needed = tuple[tuple[str, ...], ...]  # of each, one of these columns


def class_lists(numbers: np.ndarray, sizes: np.ndarray) -> pa.ListArray:
    """Flat class numbers, int32, as a list for each image, `sizes` of each."""
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(numbers, pa.int32()))


class BaseKind:
    """A kind with every default: a new one has `record`, `columns`, `example`, `described`, and
    `lists` or `classes`.
    """

    name: str  # of its file
    what: str = "record"  # of an image, in a line for people
    record: type[Record]
    # what a training can read, as corpus.reading.columns explains it
    columns: ClassVar[Mapping[str, Mapping[str, str]]]
    example: ClassVar[Mapping[str, Any]]  # what a source says of an image, for tests
    # what a source's table must have, and may have, besides image, id and split
    needed: Needed = ()
    wanted: frozenset[str] = frozenset()
    others: bool = False  # whether columns that nobody declared are read too
    # fields of the record that `names` and `lists` see, beside id and split
    fields: ClassVar[Mapping[str, pa.DataType]] = {}
    # and those that `lists` alone sees, read shard by shard for what they weigh
    shapes: ClassVar[Mapping[str, pa.DataType]] = {}
    media: str = "image"  # what is stored of each record: an image, or a "video"
    posted: bool = False  # whether it is of posts, whose classes the stage corpus chooses
    square: bool = True  # whether its images are stored as squares; else they keep their aspect
    least: int = 0  # classes that a set has at least; 0: of a kind without classes
    joins: bool = False  # whether rows of one id and image are one record, by `joined`
    twins: bool = True  # whether posts that repeat one of its images are told, and dropped
    sized: bool = False  # whether a record is held to its image, by `check_image`
    bare: str = ""  # what images without a class lack, where they are kept and counted

    @property
    def has_split(self) -> bool:
        """Whether its records are of a split."""
        return "split" in self.record.model_fields

    def described(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Fields of the record, without id, image and split, from what a source says of an image.

        Column names are in lower case, but those of `others`. ValueError: why it cannot be used.
        """
        raise NotImplementedError

    def of_class(self, label: str) -> dict[str, Any]:
        """What a folder of images says of those in it, by its name."""
        columns = ", ".join(first for first, *_ in self.needed)
        raise ValueError(
            f"folders of images per class say nothing of {self.name}: give a table with the "
            f"columns image and {columns}"
        )

    def checked(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The fields as they are stored; ValueError: why the row cannot be used."""
        return fields

    def joined(self, records: Sequence[Record]) -> Record:
        """One record of several that name one image; ValueError where they contradict each other.

        They are in an order of their own, which must not matter.
        """
        raise NotImplementedError

    def check_image(self, record: Record, width: int, height: int) -> None:
        """ValueError where the upright image of this size is not the one that the record is of."""

    def words(self, record: Record) -> tuple[str, ...]:
        """What a person is shown with the image: of a kind with classes, these."""
        return ()

    def shown(self, value: Any) -> str:
        """A field's value in a line for people."""
        return repr(value)

    def classes(self, table: pa.Table) -> pa.ListArray:
        """The names of each record's classes, a list for each, of a table of `fields`.

        All empty, where a kind has no classes.
        """
        ends = np.zeros(len(table) + 1, np.int32)
        return pa.ListArray.from_arrays(pa.array(ends), pa.array([], pa.string()))

    def lists(self, table: pa.Table, number: Mapping[str, int]) -> dict[str, pa.Array]:
        """The list columns of the index, which `columns` read, a list for each record.

        `number`: of each class. Where images keep their aspect, the table has a column `sides`,
        width and height that each is stored with.
        """
        named = self.classes(table)
        numbers = [number[name] for name in named.flatten().to_pylist()]
        sizes = named.value_lengths().to_numpy()
        return {"targets": class_lists(np.array(numbers, np.int32), sizes)}

    def notes(self, names: Sequence[str]) -> list[str]:
        """What a person should know of the classes by their names, a line each."""
        return []


def kinds() -> list[str]:
    """The names of all kinds: the files of corpus/kinds."""
    folder = Path(import_module(f"{PREFIX}corpus.kinds").__file__).parent
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


@cache
def kind(name: str) -> BaseKind:
    """The kind of this name; ValueError lists those that there are."""
    if name not in kinds():
        raise ValueError(f"unknown kind {name!r} of data set: choose one of {', '.join(kinds())}")
    module = import_module(f"{PREFIX}corpus.kinds.{name}")
    for key, found in vars(module).items():
        if key.lower() == name.replace("_", "") and isinstance(found, type):
            made = found()
            made.name = name
            return made
    raise ValueError(f"corpus/kinds/{name}.py has no class of its name: call its kind so")
