"""The shards of a labelled set: splits made whole, classes numbered, what to know of them."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus.checksums import write_checksums
from corpus.media.kept import stored_sides
from corpus.records.kind import BaseKind
from corpus.records.record import json_line
from corpus.splits import Part, completed, held_out_note
from corpus.store.classes import (
    Classes,
    class_names,
    class_notes,
    class_numbers,
    fields_of,
    quoted,
)
from corpus.store.indexing import IndexWriter
from corpus.store.read import read_table
from corpus.store.squares import SquareShard, Store, link_tars
from corpus.store.write import replacing

AGAIN = {
    "said": "under more than one {} (correct the source; class folders: --replace)",
    "split": "in more than one split (what was trained on is no fair test)",
}


class Labelled(NamedTuple):
    """What became of a labelled set: images per split, splits held out of train, lines to tell."""

    counts: Counter[str]
    held_out: list[str]
    told: list[str]


def write_labelled(store: Store, out: Path, shares: dict[str, float]) -> Labelled:
    """Writes the shards of a target set, its classes in alphabetical order.

    A split that the set lacks (val, test) is held out of train (corpus.splits), `shares` of it.
    """
    kind = store.kind
    tables = [read_table(store.folder, one.shard, fields_of(kind)) for one in store.squares]
    names = class_names(tables, kind)
    number, classes, kept = {name: i for i, name in enumerate(names)}, Classes(), []
    parts = [_part(*pair, kind, number) for pair in zip(store.squares, tables, strict=True)]
    splits, lacking = completed(parts, len(names), shares)
    with replacing(out) as part:
        with IndexWriter(part, kind, names, store.side.size, store.frame_rate) as index:
            for one, table, mine, split in zip(store.squares, tables, parts, splits, strict=True):
                images = one.table().append_column("id", table["id"])
                images = images.append_column("split", pa.array(split, pa.string()))
                said = table if kind.square else _placed(store, one, images)
                index.add(int(one.shard.name), mine.good, images, kind.lists(said, number))
                good = pa.array(mine.good)
                classes.add_table(kind.classes(table).filter(good), images["split"].filter(good))
                kept.append(images.append_column("said", _said(table, kind)).filter(good))
        write_checksums(part, link_tars(store, part))
    lines = [held_out_note(split, classes.splits[split], shares[split]) for split in lacking]
    lines += class_notes(classes, kind)
    lines += repeated(pa.concat_tables(kept), kind.what) if kept else []
    lines = [f"{store.name}: {line}" for line in lines]
    counts = {split: number for split, number in classes.splits.items() if number}
    return Labelled(Counter(counts), lacking, lines)


def _placed(store: Store, one: SquareShard, images: pa.Table) -> pa.Table:
    """What is said of places in the images of a shard, and the `sides` that each is stored with.

    ValueError where an image is of another size than its record says.
    """
    table = read_table(store.folder, one.shard, store.kind.shapes)
    there = np.stack([images[name].to_numpy() for name in ("width", "height")], 1)
    told = np.stack([table[name].to_numpy() for name in ("width", "height")], 1)
    wrong = np.flatnonzero((there != told).any(1) & (there > 0).all(1))
    if len(wrong):
        row = int(wrong[0])
        first, second = ("{} x {}".format(*sides[row].tolist()) for sides in (there, told))
        raise ValueError(
            f"{store.name}: {len(wrong):,} images are not of the size that their records say, the "
            f"first {quoted(images['id'][row].as_py())}: {first} px, not {second}: boxes and masks "
            "would lie elsewhere; correct the source and import it again"
        )
    sides = [stored_sides(*each, store.side.size) for each in told.tolist()]
    return table.append_column("sides", pa.array(sides, pa.list_(pa.int32())))


def _said(table: pa.Table, kind: BaseKind) -> pa.Array:
    """What is said of each image, as one text: equal for equal words."""
    if kind.least:  # a million labels at once
        return pc.binary_join(kind.classes(table), "\n")
    rows = table.select([*kind.fields]).to_pylist()
    return pa.array([json_line(row) for row in rows], pa.string())


def repeated(images: pa.Table, what: str) -> list[str]:
    """What to tell of images that are there more than once, byte for byte, a line each.

    `images` has the columns sha256, id, said, split; `what`: that is.
    """
    values = [("id", "min"), ("id", "max"), *((column, "count_distinct") for column in AGAIN)]
    groups = images.group_by("sha256").aggregate(values)
    lines = []
    for column, fault in AGAIN.items():
        several = groups.filter(pc.greater(groups[f"{column}_count_distinct"], 1)).sort_by("id_min")
        if len(several):
            first = " and ".join(quoted(several[f"id_{end}"][0].as_py()) for end in ("min", "max"))
            told = f"{len(several):,}, the first {first}"
            lines.append(f"equal images {fault.format(what)}: {told}")
    return lines


def _part(one: SquareShard, table: pa.Table, kind: BaseKind, number: dict[str, int]) -> Part:
    good = one.table()["size"].to_numpy() > 0
    labels = class_numbers(table, kind, number)
    return Part(table["id"].to_pylist(), labels, table["split"].to_pylist(), good)
