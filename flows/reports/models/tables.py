"""What the report of models reads out of the Parquet files of the stages."""

import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpus.reading.index import INDEX, REPAIR
from flows.measuring.stored import AGAIN, pictures, read_rows, set_of
from flows.reports.models.findings import Answers, Duplicate, Labels
from flows.running import settings

CHECKED = 10_000  # images of each split that are looked for in the other
PAIRS = 12  # duplicates that are shown
ANSWERS = ["seed", "id", "label", "guess", "score"]


def answered(model: str, target: str) -> Answers | None:
    """The answers of all seeds of one model; every seed was asked about the same images."""
    file = settings.OUT / "evaluate" / "predictions.parquet"
    table = read_rows(file, ANSWERS, [("model", "==", model), ("target", "==", target)])
    if table is None or not len(table):
        return None
    return to_answers(table, model, target, str(file))


def to_answers(table: pa.Table, model: str, target: str, file: str) -> Answers:
    """The answers of all seeds out of the rows of one model; ValueError where they do not fit."""
    names = json.loads((table.schema.metadata or {}).get(b"classes", b"{}"))
    if target not in names:
        raise ValueError(f"{file} does not name the classes of {target}: {AGAIN}")
    table = table.sort_by([("seed", "ascending"), ("id", "ascending")])
    seeds = len(np.unique(table["seed"].to_numpy()))
    images, rest = divmod(len(table), seeds)
    ids = table["id"].to_pylist()
    if rest or ids[:images] * seeds != ids:
        raise ValueError(f"{file}: the seeds of {model} did not see the same images: {AGAIN}")
    labels, guesses, scores = (table[name].to_numpy() for name in ANSWERS[2:])
    labels, guesses = labels.astype(np.int64), guesses.astype(np.int64)
    shape = (seeds, images)
    found = (labels[:images], guesses.reshape(shape), scores.reshape(shape))
    return Answers(model, names[target], ids[:images], *found)


def duplicated(targets: Sequence[str]) -> dict[str, list[Duplicate]]:
    """The test images that the posts repeat, by target; the first target's with some pictures."""
    file = settings.OUT / "evaluate" / "duplicates.parquet"
    table = read_rows(file, ["id", "post", "found", "target"], None)
    found: dict[str, list[Duplicate]] = {}
    for row in table.to_pylist() if table is not None else ():
        one = Duplicate(row["id"], row["post"] or "", row["found"] or "", None, None)
        found.setdefault(row["target"], []).append(one)
    some = found.get(targets[0], [])[:PAIRS]
    images = pictures(set_of(targets[0]), [pair.id for pair in some])
    twins = pictures(settings.OUT / "corpus" / "hashtags", [pair.post for pair in some])
    for place, pair in enumerate(some):
        sides = {"image": images.get(pair.id), "twin": twins.get(pair.post)}
        found[targets[0]][place] = pair._replace(**sides)
    return found


def repeated_in_train(folder: Path) -> int:
    """How many test images of a set are among its training images too, byte for byte.

    Squares are made alike of equal images. Only images of equal length are read, of CHECKED at
    most: of a larger set the first test images stand for all.
    """
    table = read_rows(folder / INDEX, ["id", "split", "size"], None, REPAIR)
    if table is None:
        return 0
    splits, sizes = (table[name].to_numpy(zero_copy_only=False) for name in ("split", "size"))
    ids = np.array(table["id"].to_pylist(), object)
    test = np.flatnonzero(splits == "test")[:CHECKED]
    train = np.flatnonzero((splits == "train") & np.isin(sizes, sizes[test]))[:CHECKED]
    test = test[np.isin(sizes[test], sizes[train])]
    known = {sha256(data).digest() for data in pictures(folder, ids[train]).values()}
    found = pictures(folder, ids[test]).values()
    return sum(sha256(data).digest() in known for data in found)


def labelled(targets: Sequence[str]) -> dict[str, Labels]:
    """The images per class of each labelled set, and which splits were made of its train images."""
    file = settings.OUT / "corpus" / "summary.json"
    summary = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    held_out = summary.get("held_out", {})
    found = {}
    for target in targets:
        labels = labels_of(target, tuple(held_out.get(f"targets/{target}", ())))
        if labels:
            found[target] = labels
    return found


def labels_of(target: str, held_out: tuple[str, ...] = ()) -> Labels | None:
    """How many images each class of a labelled set has in each split."""
    file = set_of(target) / INDEX
    table = read_rows(file, ["split", "targets"], None, REPAIR)
    if table is None:
        return None
    names = json.loads(table.schema.metadata[b"tagdag"])["names"]
    splits, classes = table["split"].to_numpy(zero_copy_only=False), table["targets"]
    flat = classes.combine_chunks().flatten().to_numpy()
    counts = {}
    for split in np.unique(splits):
        counts[str(split)] = np.bincount(flat[splits == split], minlength=len(names))
    return Labels(names, counts, held_out)
