"""Images of a labelled set per class and split, as the stage corpus will leave them."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from corpus import splits
from corpus.store.classes import Classes, class_numbers, classes_of, fields_of
from corpus.store.read import kind_of, read_table, shards_of
from engine.core.digest import digest
from flows.running import settings


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
        return Classes.restored(about["classes"]), about["held"]
    classes, held = _counted(folder, shares)
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(".part")
    part.write_text(
        json.dumps({"key": key, "held": held, "classes": classes.stored()}), encoding="utf-8"
    )
    part.replace(kept)
    return classes, held


def _known(kept: Path) -> dict[str, Any]:
    """What was counted before; a file that is damaged is written anew."""
    with suppress(OSError, ValueError):
        return json.loads(kept.read_text(encoding="utf-8"))
    return {}


def _counted(folder: Path, shares: dict[str, float]) -> tuple[Classes, list[str]]:
    shards, kind = shards_of(folder), kind_of(folder, f"targets/{folder.name}")
    classes = classes_of(((folder, shard) for shard in shards), kind)
    held = splits.lacking_splits({name for name, count in classes.splits.items() if count}, shares)
    number = {label: i for i, label in enumerate(sorted(classes.counts))}
    rules = [splits.HeldOut(name, shares[name], len(number)) for name in held]
    for shard in shards if held else []:
        table = read_table(folder, shard, fields_of(kind))
        named = kind.classes(table).to_pylist(), class_numbers(table, kind, number)
        columns = table["id"].to_pylist(), table["split"].to_pylist(), *named
        for key, split, names, numbers in zip(*columns, strict=True):
            into = splits.held_into(rules, key, numbers) if split == "train" else split
            if into != split:
                classes.add(names, into)
                classes.add(names, "train", -1)
    return classes, held
