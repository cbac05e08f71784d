"""The classes of a labelled set: how often each occurs, what to tell of them."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus.hashtags.normal import normalise
from corpus.names import printable
from corpus.reading.index import Lists
from corpus.records.kind import BaseKind, class_lists
from corpus.store.read import Shard, read_table

SPLITS = ("train", "val", "test")
MOST = 1_000_000  # classes, so that counts fit into memory: more are no labels, but texts or ids
NAMED, LETTERS = 5, 40  # classes that a line names, and how much of each name
UNEVEN = 20  # largest class over smallest, from which on it is told


class Twin(NamedTuple):
    """Two classes whose labels differ in case, marks or signs alone, and their images."""

    usual: str
    other: str
    counts: tuple[int, int]


class Classes:
    """Images per class and split, per split, and of no class.

    ValueError for more than MOST classes.
    """

    def __init__(self):
        self.counts: dict[str, dict[str, int]] = {}
        self.splits, self.bare = dict.fromkeys(SPLITS, 0), 0

    def add(self, labels: Sequence[str], split: str, number: int = 1) -> None:
        """Counts more images of these classes in a split; a negative number takes them away."""
        for label in labels:
            self._add(label, split, number)
        self.splits[split] += number
        self.bare += 0 if labels else number

    def add_table(self, named: pa.ListArray, splits: pa.ChunkedArray) -> None:
        """Counts images by their lists of classes, and their splits."""
        of = {"label": named.flatten(), "split": splits.take(pc.list_parent_indices(named))}
        groups = pa.table(of).group_by(["label", "split"]).aggregate([([], "count_all")])
        columns = (groups[name].to_pylist() for name in ("label", "split", "count_all"))
        for label, split, number in zip(*columns, strict=True):
            self._add(label, split, number)
        for group in splits.value_counts().to_pylist():
            self.splits[group["values"]] += group["counts"]
        self.bare += pc.sum(pc.equal(named.value_lengths(), 0)).as_py() or 0

    def include(self, other: "Classes") -> None:
        """Adds what another has counted."""
        for label, found in other.counts.items():
            for split, number in found.items():
                self._add(label, split, number)
        for split, number in other.splits.items():
            self.splits[split] += number
        self.bare += other.bare

    def stored(self) -> dict[str, Any]:
        """All of it, for a JSON file."""
        return {"counts": self.counts, "splits": self.splits, "bare": self.bare}

    @classmethod
    def restored(cls, stored: dict[str, Any]) -> "Classes":
        """What was `stored`."""
        found = cls()
        found.counts, found.splits, found.bare = (stored[k] for k in ("counts", "splits", "bare"))
        return found

    def _add(self, label: str, split: str, number: int) -> None:
        found = self.counts.setdefault(label, dict.fromkeys(SPLITS, 0))
        found[split] += number
        if not any(found.values()):
            del self.counts[label]
        if len(self.counts) > MOST:
            raise ValueError(
                f"more than {MOST:,} different labels: is that the right column? "
                "the one that is called `label` is taken"
            )

    def of(self, split: str) -> dict[str, int]:
        """Images per class in a split, 0 where it has none."""
        return {label: found[split] for label, found in self.counts.items()}

    def twins(self) -> list[Twin]:
        """Classes that are one when normalised as hashtags are, beside the most frequent one."""
        alike = defaultdict(list)
        for label in self.counts:
            form = normalise(label)
            if form:
                alike[form].append((-sum(self.counts[label].values()), label))
        found = []
        for group in alike.values():
            [first, *others] = sorted(group)
            found += [Twin(first[1], name, (-first[0], -count)) for count, name in others]
        return sorted(found, key=lambda twin: (-twin.counts[1], twin.usual, twin.other))


def classes_of(shards: Iterable[tuple[Path, Shard]], kind: BaseKind) -> Classes:
    """The classes of the shards in these folders, from their lists alone."""
    classes = Classes()
    for folder, shard in shards:
        table = read_table(folder, shard, {**kind.fields, "split": pa.string()})
        classes.add_table(kind.classes(table), table["split"])
    return classes


def fields_of(kind: BaseKind) -> dict[str, pa.DataType]:
    """The fields of a target set's records that its index is made of."""
    return {"id": pa.string(), **kind.fields, "split": pa.string()}


def class_names(tables: Iterable[pa.Table], kind: BaseKind) -> list[str]:
    """The classes that these records have, in alphabetical order."""
    found: set[str] = set()
    for table in tables:
        found.update(kind.classes(table).flatten().unique().to_pylist())
    return sorted(found)


def class_numbers(table: pa.Table, kind: BaseKind, number: dict[str, int]) -> Lists:
    """The classes of each record by their numbers."""
    named = kind.classes(table)
    numbers = np.array([number[name] for name in named.flatten().to_pylist()], np.int32)
    return Lists(class_lists(numbers, named.value_lengths().to_numpy()))


def class_notes(classes: Classes, kind: BaseKind) -> list[str]:
    """What a person should know of these classes before training on them, a line each."""
    train, lines = classes.of("train"), []
    if len(train) == 1 < kind.least:  # an import refuses it, an older store may hold it
        lines.append(f"one class only, {quoted(*train)}: a classifier of one class says nothing")
    lacking = sorted(label for label, number in train.items() if not number)
    if lacking and any(train.values()):
        lines.append(f"{_classes(lacking)} no image in train, only in val or test: never learnt")
    if kind.joins:
        lines += _several(train, classes)
    if kind.bare and classes.bare:
        lines.append(f"{classes.bare:,} images have {kind.bare}: they are kept")
    lines += _few(train, classes)
    lines += _uneven(train)
    lines += kind.notes([*train])
    twins = classes.twins()
    lines += map(_alike, twins[:NAMED])
    more = len(twins) - NAMED
    return [*lines, f"and {more:,} more such pairs"] if more > 0 else lines


def _several(train: dict[str, int], classes: Classes) -> list[str]:
    """Of images with any number of classes."""
    lines = []
    if classes.bare:
        lines.append(f"{classes.bare:,} images have no class: each is a negative for all of them")
    every = sorted(name for name, count in train.items() if count == classes.splits["train"] > 0)
    if every:
        lines.append(f"{_classes(every)} no train image without it: nothing to tell apart")
    return lines


def _alike(twin: Twin) -> str:
    labels = zip((twin.usual, twin.other), twin.counts, strict=True)
    first, second = (f"{quoted(label)} ({number:,})" for label, number in labels)
    cure = "one class? correct the source and --update"
    return f"classes {first} and {second} differ only in case, marks or signs: {cure}"


def _few(train: dict[str, int], classes: Classes) -> list[str]:
    few = sorted(label for label, number in train.items() if number == 1)
    alone = sum(sum(found.values()) == 1 for found in classes.counts.values())
    lines = [f"{_classes(few)} a single label in train"] if few else []
    if alone:
        which = f"{alone:,} of the {len(train):,} classes {_have(alone)}"
        lines.append(f"{which} a single image in all splits together")
    return lines


def _uneven(train: dict[str, int]) -> list[str]:
    learnt = {label: number for label, number in train.items() if number}
    if not learnt:
        return []
    ordered = sorted(learnt, key=lambda label: (learnt[label], label))
    least, most = ordered[0], ordered[-1]
    times = learnt[most] / learnt[least]
    if times <= UNEVEN:
        return []
    sizes = f"{learnt[most]:,} labels in train, {quoted(least)} {learnt[least]:,}"
    return [f"uneven classes: {quoted(most)} has {sizes}, {times:.0f} times fewer"]


def _classes(names: list[str]) -> str:
    """`2 classes ('a', 'b') have`."""
    shown = ", ".join(map(quoted, names[:NAMED]))
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    noun = "class" if len(names) == 1 else "classes"
    return f"{len(names):,} {noun} ({shown}{more}) {_have(len(names))}"


def _have(number: int) -> str:
    return "has" if number == 1 else "have"


def quoted(label: str) -> str:
    """A class as a line of text shows it."""
    text = label if len(label) <= LETTERS else label[: LETTERS - 1] + "…"
    return f"'{printable(text)}'"
