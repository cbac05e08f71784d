"""What every model answered to every test sample: out/evaluate/<task>/answers.parquet.

One row per (model, seed, sample), and one row group per model, so that a reader takes one at a
time. `classes`, the names by task, stand as JSON in the schema's metadata. `value` is the headline
of the sample alone, null where a metric has none; `label`, `guess` and `score` are of samples of
one class each, null elsewhere.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FILE = "answers.parquet"
SCHEMA = pa.schema(
    {
        "model": pa.dictionary(pa.int32(), pa.string()),
        "seed": pa.int32(),
        "id": pa.string(),
        "value": pa.float32(),
        "label": pa.int16(),
        "guess": pa.int16(),
        "score": pa.float32(),
        "duplicate": pa.bool_(),
    }
)


class Predicted(NamedTuple):
    """Of one network, for n test samples; None where there is no such thing.

    value float64 (n,): the headline of each. guess int16 (n,): the class of the highest score;
    score float32 (n,): its softmax probability, or the share of the votes of neighbours. numbers:
    what the metric gave. resampled float64 (resamples,): the headline of the bootstrap's resamples
    of the samples, the same for all networks. details: what is told of scenes beside that
    (flows/measuring/scenedetails.py).
    """

    value: np.ndarray | None
    guess: np.ndarray | None
    score: np.ndarray | None
    numbers: Mapping[str, float]
    resampled: np.ndarray | None = None
    details: Mapping[str, Any] | None = None


class Examined(NamedTuple):
    """Test samples of a task: ids, labels int16 (n,) where each has one class, duplicate bool (n,),
    names of classes."""

    ids: Sequence[str]
    label: np.ndarray | None
    duplicate: np.ndarray
    classes: Sequence[str]


def values_of(seeds: Iterable[Predicted]) -> np.ndarray | None:
    """float64 (seeds, samples): the headline of each whose target is known; None without it."""
    seeds = list(seeds)
    if any(each.value is None for each in seeds):
        return None
    found = np.stack([each.value for each in seeds])
    return found[:, ~np.isnan(found).any(0)]


def resampled_of(seeds: Iterable[Predicted]) -> np.ndarray | None:
    """float64 (seeds, resamples): the headline of each resample; None where a metric has none."""
    found = [each.resampled for each in seeds]
    return None if any(each is None for each in found) else np.stack(found)


def _column(parts: Sequence[np.ndarray | None], name: str, total: int) -> pa.Array:
    """A column of so many rows, of arrays one after the other; nulls where there are none."""
    kind = SCHEMA.field(name).type
    if any(part is None for part in parts):
        return pa.nulls(total, kind)
    return pa.array(np.concatenate(parts), kind, safe=False)  # float64 becomes float32


def rows_of(record: Mapping[str, Any], images: Examined, seeds: Sequence[Predicted]) -> pa.Table:
    """The rows of one model, a seed after the other; its task's classes as metadata."""
    count, total = len(images.ids), len(images.ids) * len(seeds)
    name = pa.array([record["model"]])
    columns = {
        # a dictionary: the text once, and not in every row
        "model": pa.DictionaryArray.from_arrays(pa.array(np.zeros(total, np.int32)), name),
        "seed": np.repeat(np.asarray(record["seeds"], np.int32), count),
        "id": pa.array(list(images.ids) * len(seeds), pa.string()),
        "value": _column([each.value for each in seeds], "value", total),
        "label": _column([images.label] * len(seeds), "label", total),
        "guess": _column([each.guess for each in seeds], "guess", total),
        "score": _column([each.score for each in seeds], "score", total),
        "duplicate": np.tile(images.duplicate, len(seeds)),
    }
    classes = json.dumps({record["task"]: list(images.classes)}).encode()
    return pa.table(columns, schema=SCHEMA.with_metadata({b"classes": classes}))


Model = tuple[Mapping[str, Any], Examined, Sequence[Predicted]]


def write(out: Path, models: Iterable[Model]) -> None:
    """Write the table of all models of a task: record, test samples, what the seeds predicted."""
    tables = [rows_of(*model) for model in models]
    with pq.ParquetWriter(out / FILE, tables[0].schema, compression="zstd") as file:
        for table in tables:
            file.write_table(table, row_group_size=max(1, len(table)))


def confusion(images: Examined, one: Predicted) -> list[tuple[str, str]]:
    """(class, class predicted) of every test sample; none where samples have no class each."""
    if images.label is None or one.guess is None:
        return []
    pairs = zip(images.label.tolist(), one.guess.tolist(), strict=True)
    return [(images.classes[label], images.classes[guess]) for label, guess in pairs]
