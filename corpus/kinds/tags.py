"""Tags: images of several true classes each, or of none, to fine-tune and test on.

A source names them in one column, as a list or as text with `;` or `|` between them; in several
rows of one image; in a column per class of 1 and 0; or in folders of images per class, the same
bytes in several of them.

An image of no class is a true negative for all of them, and is kept where its source says so: an
empty list, `[]` in a text, or nothing but 0 in the classes' columns. An empty cell says nothing
of the image, and is refused.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from corpus.records.cells import cell_text, parse_list
from corpus.records.kind import BaseKind
from corpus.records.record import Record, Split
from corpus.records.spelling import spelled

NAMES = ("tags", "labels", "label")  # of the column that has them; the first of these counts
BESIDE = {"id", "image", "file_name", "filename", "filepath", "path", "split"}  # are no classes
BETWEEN = re.compile(r"[;|]")  # a comma is a part of names: `tench, Tinca tinca`
YES, NO = frozenset({"1", "1.0", "true"}), frozenset({"", "0", "0.0", "false"})
MAX_TAGS = 1000  # of one image


class Tagged(Record):
    """One image of a target set with its classes, in alphabetical order."""

    tags: list[str]
    split: Split = "train"


class Tags(BaseKind):
    """Several classes for each image, or none."""

    record = Tagged
    what = "set of tags"
    columns = {"image": {"read": "jpeg"}, "tags": {"read": "classes", "of": "targets"}}
    example = {"tags": "cat; dog"}
    wanted = frozenset(NAMES)
    others = True
    fields = {"tags": pa.list_(pa.string())}
    least = 1
    joins = True

    def described(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        columns = [name for name in NAMES if name in raw]
        if not columns:
            return {"tags": _of_columns(raw)}
        for name in columns:
            tags = _of_cell(raw[name])
            if tags is not None:
                return {"tags": tags}
        raise ValueError(f"no tag, {columns[0]} is empty: write [] where the image has none")

    def of_class(self, label: str) -> dict[str, Any]:
        return {"tags": [label]}

    def checked(self, fields: dict[str, Any]) -> dict[str, Any]:
        tags = fields.get("tags")
        if tags is None:
            return fields
        if len(tags) > MAX_TAGS:
            raise ValueError(f"too many tags: {len(tags):,}, allowed are {MAX_TAGS:,}")
        # equal sets are equal records, in whatever order they were written
        return fields | {"tags": sorted({*filter(None, map(spelled, tags))})}

    def joined(self, records: Sequence[Tagged]) -> Tagged:
        splits = sorted({record.split for record in records})
        if len(splits) > 1:
            raise ValueError(
                f"contradiction: rows of its image are in the splits {' and '.join(splits)}"
            )
        tags = sorted({tag for record in records for tag in record.tags})
        return records[0].model_copy(update={"tags": tags})

    def words(self, record: Tagged) -> tuple[str, ...]:
        return tuple(record.tags)

    def classes(self, table: pa.Table) -> pa.ListArray:
        return table["tags"].combine_chunks()

    def notes(self, names: Sequence[str]) -> list[str]:
        commas = [name for name in names if "," in name]
        if not commas:
            return []
        cure = "if that is a list, write `;` or `|` between its tags, and --replace"
        return [f"{len(commas):,} classes have a comma in their name, as {commas[0]!r}: {cure}"]


def _of_cell(value: Any) -> list[str] | None:
    """The tags of one cell; None where it says nothing, an empty list where it says that."""
    if isinstance(value, (list, tuple)):
        return [text for text in map(cell_text, value) if text]
    cell = cell_text(value)
    if cell is None:
        return None
    found = parse_list(cell)
    if found is not None:
        return [text for text in map(cell_text, found) if text]
    return [part.strip() for part in BETWEEN.split(cell) if part.strip()] or None


def _of_columns(raw: Mapping[str, Any]) -> list[str]:
    """The tags that a row has 1 for, of a column per class."""
    columns = [name for name in raw if name and name not in BESIDE]
    if not columns:
        raise ValueError(f"no tag: no column {', '.join(NAMES)}, and none per class")
    found, empty = [], True
    for name in columns:
        says = (cell_text(raw[name]) or "").lower()
        if says not in YES | NO:
            raise ValueError(
                f"no column of a class: {name} has {says[:40]!r}, and not 1 or 0; leave it out, or "
                "name the tags in a column `tags`"
            )
        empty = empty and not says
        if says in YES:
            found.append(name)
    if empty:
        raise ValueError("no tag, the classes' columns are empty: write 0 where it has none")
    return found
