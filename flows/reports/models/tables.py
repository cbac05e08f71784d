"""What the report of models reads out of the Parquet files of the stages."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpus.reading.index import INDEX, REPAIR
from flows.measuring.predictions import FILE
from flows.measuring.stored import AGAIN, pictures, read_rows, set_of, stored_digests
from flows.reports.models.findings import Answers, Duplicate, Labels
from flows.running import settings

CHECKED = 10_000  # images of each split that are looked for in the other
PAIRS = 12  # duplicates that are shown
ANSWERS = ["seed", "id", "label", "guess", "score"]


def answered(model: str, task: str) -> Answers | None:
    """The answers of all seeds of one model; every seed was asked about the same images.

    None where there are none, or images have no class each.
    """
    file = settings.OUT / "evaluate" / task / FILE
    table = read_rows(file, ANSWERS, [("model", "==", model)])
    if table is None or not len(table) or table["guess"].null_count:
        return None
    return to_answers(table, model, task, str(file))


def to_answers(table: pa.Table, model: str, task: str, file: str) -> Answers:
    """The answers of all seeds out of the rows of one model; ValueError where they do not fit."""
    names = json.loads((table.schema.metadata or {}).get(b"classes", b"{}"))
    if task not in names:
        raise ValueError(f"{file} does not name the classes of {task}: {AGAIN}")
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
    return Answers(model, names[task], ids[:images], *found)


def duplicated(data: Mapping[str, str]) -> dict[str, list[Duplicate]]:
    """The test images that the posts repeat, by task; the first task's with some pictures.

    data: the labelled set of each task.
    """
    found: dict[str, list[Duplicate]] = {}
    for task in data:
        file = settings.OUT / "evaluate" / task / "duplicates.parquet"
        table = read_rows(file, ["id", "post", "found"], None)
        for row in table.to_pylist() if table is not None else ():
            one = Duplicate(row["id"], row["post"] or "", row["found"] or "", None, None)
            found.setdefault(task, []).append(one)
    first = next(iter(data))
    some = found.get(first, [])[:PAIRS]
    images = pictures(set_of(data[first]), [pair.id for pair in some])
    twins = pictures(set_of("hashtags"), [pair.post for pair in some])
    for place, pair in enumerate(some):
        sides = {"image": images.get(pair.id), "twin": twins.get(pair.post)}
        found[first][place] = pair._replace(**sides)
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
    known = set(stored_digests(folder, ids[train]))
    return sum(digest in known for digest in stored_digests(folder, ids[test]))


def labelled(data: Mapping[str, str]) -> dict[str, Labels]:
    """The images per class of each task, and which splits were made of its train images.

    data: the labelled set of each task.
    """
    file = settings.OUT / "corpus" / "summary.json"
    summary = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    held_out = summary.get("held_out", {})
    found = {}
    for task, name in data.items():
        labels = labels_of(set_of(name), tuple(held_out.get(name, ())))
        if labels:
            found[task] = labels
    return found


def labels_of(folder: Path, held_out: tuple[str, ...] = ()) -> Labels | None:
    """How many images each class of a labelled set has in each split; None without classes."""
    file = folder / INDEX
    if not file.is_file() or "targets" not in pq.read_schema(file).names:
        return None
    table = read_rows(file, ["split", "targets"], None, REPAIR)
    names = json.loads(table.schema.metadata[b"tagdag"])["names"]
    classes = table["targets"].combine_chunks()
    lengths = pc.list_value_length(classes).fill_null(0).to_numpy()
    # a row per class of an image, which may have several, or none
    splits = np.repeat(table["split"].to_numpy(zero_copy_only=False), lengths)
    flat, counts = classes.flatten().to_numpy(), {}
    for split in np.unique(splits):
        counts[str(split)] = np.bincount(flat[splits == split], minlength=len(names))
    return Labels(names, counts, held_out, several=bool((lengths != 1).any()))
