"""The shards of a labelled set: splits made whole, classes numbered, what to know of them."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus.checksums import write_checksums
from corpus.splits import Part, completed, held_out_note
from corpus.store.classes import Classes, class_notes, count_classes, quoted
from corpus.store.indexing import IndexWriter, class_lists
from corpus.store.read import read_table
from corpus.store.squares import SquareShard, Store, link_tars
from corpus.store.write import replacing

COLUMNS = {"image": {"read": "jpeg"}, "label": {"read": "class", "of": "targets"}}
LABELS = {"id": pa.string(), "label": pa.string(), "split": pa.string()}

AGAIN = {
    "label": "under more than one label (correct the source; class folders: --replace)",
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
    tables = [read_table(store.folder, one.shard, LABELS) for one in store.squares]
    names = sorted({name for table in tables for name in table["label"].unique().to_pylist()})
    number, classes, kept = {name: i for i, name in enumerate(names)}, Classes(), []
    parts = [_part(*pair, number) for pair in zip(store.squares, tables, strict=True)]
    splits, lacking = completed(parts, len(names), shares)
    with replacing(out) as part:
        with IndexWriter(part, "labels", COLUMNS, names, store.side.size) as index:
            for one, table, mine, split in zip(store.squares, tables, parts, splits, strict=True):
                table = table.set_column(2, "split", pa.array(split, pa.string()))
                images = one.table()
                for column in ("id", "split"):
                    images = images.append_column(column, table[column])
                values = {"targets": class_lists(mine.labels, np.ones(len(split), np.int64))}
                index.add(int(one.shard.name), mine.good, images, values)
                kept.append(images.append_column("label", table["label"]).filter(mine.good))
                count_classes(classes, kept[-1])
        write_checksums(part, link_tars(store, part))
    lines = [held_out_note(split, classes.splits[split], shares[split]) for split in lacking]
    lines += class_notes(classes)
    lines += repeated(pa.concat_tables(kept)) if kept else []
    lines = [f"{store.name}: {line}" for line in lines]
    counts = {split: number for split, number in classes.splits.items() if number}
    return Labelled(Counter(counts), lacking, lines)


def repeated(images: pa.Table) -> list[str]:
    """What to tell of images that are there more than once, byte for byte, a line each.

    `images` has the columns sha256, id, label, split.
    """
    values = [("id", "min"), ("id", "max"), *((column, "count_distinct") for column in AGAIN)]
    groups = images.group_by("sha256").aggregate(values)
    lines = []
    for column, fault in AGAIN.items():
        several = groups.filter(pc.greater(groups[f"{column}_count_distinct"], 1)).sort_by("id_min")
        if len(several):
            first = " and ".join(quoted(several[f"id_{end}"][0].as_py()) for end in ("min", "max"))
            lines.append(f"equal images {fault}: {len(several):,}, the first {first}")
    return lines


def _part(one: SquareShard, table: pa.Table, number: dict[str, int]) -> Part:
    labels = np.array([number[name] for name in table["label"].to_pylist()], np.int32)
    good = one.table()["size"].to_numpy() > 0
    return Part(table["id"].to_pylist(), labels, table["split"].to_pylist(), good)
