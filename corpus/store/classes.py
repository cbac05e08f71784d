"""The classes of a labelled set: how a label is spelled, how often each occurs, what to tell.

Merged is only what no eye can tell apart (Unicode forms, blanks) and integers that a table of
floats made `3.0` of. Labels that differ in case or signs are told, not merged: a label, unlike a
hashtag, was chosen on purpose, and `Polish` is not `polish`.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from corpus.hashtags.normal import normalise
from corpus.names import printable
from corpus.store.read import Shard, read_table

SPLITS = ("train", "val", "test")
COLUMNS = {"label": pa.string(), "split": pa.string()}
MOST = 1_000_000  # classes, so that counts fit into memory: more are no labels, but texts or ids
NAMED, LETTERS = 5, 40  # classes that a line names, and how much of each name
UNEVEN = 20  # largest class over smallest, from which on it is told
WHOLE = re.compile(r"(-?\d+)\.0+")  # 3.0: what pandas makes of integers beside an empty cell


def spelled(label: str) -> str:
    """A label as it is stored: NFC, blanks at the ends off and one between words, 3.0 as 3."""
    text = " ".join(unicodedata.normalize("NFC", label).split())
    whole = WHOLE.fullmatch(text)
    return whole[1] if whole else text


class Twin(NamedTuple):
    """Two classes whose labels differ in case, marks or signs alone, and their images."""

    usual: str
    other: str
    counts: tuple[int, int]


class Classes:
    """Images per class and split. ValueError for more than MOST classes."""

    def __init__(self, counts: Iterable[tuple[str, str, int]] = ()):
        self.counts: dict[str, dict[str, int]] = {}
        for label, split, number in counts:
            self.add(label, split, number)

    def add(self, label: str, split: str, number: int = 1) -> None:
        """Counts more images of a class in a split; a negative number takes them away again."""
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

    @property
    def splits(self) -> dict[str, int]:
        """Images per split."""
        return {split: sum(self.of(split).values()) for split in SPLITS}

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


def classes_of(shards: Iterable[tuple[Path, Shard]]) -> Classes:
    """The classes of the shards in these folders, from their lists alone."""
    classes = Classes()
    for folder, shard in shards:
        count_classes(classes, read_table(folder, shard, COLUMNS))
    return classes


def count_classes(classes: Classes, table: pa.Table) -> None:
    """Adds the rows of a table with the columns label, split."""
    groups = table.group_by(["label", "split"]).aggregate([([], "count_all")])
    columns = (groups[name].to_pylist() for name in ("label", "split", "count_all"))
    for label, split, number in zip(*columns, strict=True):
        classes.add(label, split, number)


def class_notes(classes: Classes) -> list[str]:
    """What a person should know of these classes before training on them, a line each."""
    train, lines = classes.of("train"), []
    if len(train) == 1:  # an import refuses it, an older store may hold it
        lines.append(f"one class only, {quoted(*train)}: a classifier of one class says nothing")
    lacking = sorted(label for label, number in train.items() if not number)
    if lacking and any(train.values()):
        lines.append(f"{_classes(lacking)} no image in train, only in val or test: never learnt")
    lines += _few(train, classes)
    lines += _uneven(train)
    twins = classes.twins()
    lines += map(_alike, twins[:NAMED])
    more = len(twins) - NAMED
    return [*lines, f"and {more:,} more such pairs"] if more > 0 else lines


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
