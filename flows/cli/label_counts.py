"""Images of a labelled set per class and split, as the stage corpus will leave them."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpus import splits
from corpus.store.classes import Classes, classes_of
from corpus.store.read import read_table, shards_of
from engine.core.digest import digest
from flows.running import settings

ROWS = {"id": pa.string(), "label": pa.string(), "split": pa.string()}


def count_labels(folder: Path, shares: dict[str, float]) -> tuple[Classes, list[str]]:
    """Images per class and split as the stage corpus leaves them; the splits it holds out of train.

    shares: {"val", "test"}.
    """
    # the code as well: by it images are held out
    key = digest(folder / "store.json", shares, Path(splits.__file__))
    # kept: a million labels take some seconds
    kept = settings.STATE / "labels" / f"{folder.name}.json"
    about = _known(kept)
    if about.get("key") == key:
        return Classes(map(tuple, about["counts"])), about["held"]
    classes, held = _counted(folder, shares)
    rows = []
    for label, found in classes.counts.items():
        rows += [(label, split, number) for split, number in found.items() if number]
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(".part")
    part.write_text(json.dumps({"key": key, "held": held, "counts": rows}), encoding="utf-8")
    part.replace(kept)
    return classes, held


def _known(kept: Path) -> dict[str, Any]:
    """What was counted before; a file that is damaged is written anew."""
    with suppress(OSError, ValueError):
        return json.loads(kept.read_text(encoding="utf-8"))
    return {}


def _counted(folder: Path, shares: dict[str, float]) -> tuple[Classes, list[str]]:
    shards = shards_of(folder)
    classes = classes_of((folder, shard) for shard in shards)
    held = splits.lacking_splits({name for name, count in classes.splits.items() if count}, shares)
    number = {label: i for i, label in enumerate(sorted(classes.counts))}
    rules = [splits.HeldOut(name, shares[name], len(number)) for name in held]
    for shard in shards if held else []:
        columns = (column.to_pylist() for column in read_table(folder, shard, ROWS).columns)
        for key, label, split in zip(*columns, strict=True):
            into = splits.held_into(rules, key, number[label]) if split == "train" else split
            if into != split:
                classes.add(label, into)
                classes.add(label, "train", -1)
    return classes, held
