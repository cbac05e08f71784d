"""What every model predicted for every test image: out/evaluate/predictions.parquet.

One row per (model, seed, test image), and one row group per model, so that a reader takes one at a
time. `classes`, the names by target, stand as JSON in the schema's metadata.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FILE = "predictions.parquet"
SCHEMA = pa.schema(
    {
        "model": pa.dictionary(pa.int32(), pa.string()),
        "target": pa.dictionary(pa.int32(), pa.string()),
        "seed": pa.int32(),
        "id": pa.string(),
        "label": pa.int16(),
        "guess": pa.int16(),
        "score": pa.float32(),
        "duplicate": pa.bool_(),
    }
)


class Predicted(NamedTuple):
    """Of one network, for n test images: guess int16 (n,), the class of the highest score;
    score float32 (n,), its softmax probability, or the share of the votes of neighbours."""

    guess: np.ndarray
    score: np.ndarray


class Examined(NamedTuple):
    """Test images of a target: ids, labels int16 (n,), duplicate bool (n,), names of classes."""

    ids: Sequence[str]
    label: np.ndarray
    duplicate: np.ndarray
    classes: Sequence[str]


def hits(images: Examined, seeds: Iterable[Predicted]) -> np.ndarray:
    """bool (seeds, images): what was right."""
    return np.stack([each.guess == images.label for each in seeds])


def rows_of(record: Mapping[str, Any], images: Examined, seeds: Sequence[Predicted]) -> pa.Table:
    """The rows of one model, a seed after the other; its target's classes as metadata."""
    count, total = len(images.ids), len(images.ids) * len(seeds)

    def constant(text: str) -> pa.DictionaryArray:
        # a dictionary: the text once, and not in every row
        return pa.DictionaryArray.from_arrays(pa.array(np.zeros(total, np.int32)), pa.array([text]))

    columns = {
        "model": constant(record["model"]),
        "target": constant(record["target"]),
        "seed": np.repeat(np.asarray(record["seeds"], np.int32), count),
        "id": pa.array(list(images.ids) * len(seeds), pa.string()),
        "label": np.tile(images.label, len(seeds)),
        "guess": np.concatenate([each.guess for each in seeds]),
        "score": np.concatenate([each.score for each in seeds]),
        "duplicate": np.tile(images.duplicate, len(seeds)),
    }
    classes = json.dumps({record["target"]: list(images.classes)}).encode()
    return pa.table(columns, schema=SCHEMA.with_metadata({b"classes": classes}))


Model = tuple[Mapping[str, Any], Examined, Sequence[Predicted]]


def write(out: Path, models: Iterable[Model]) -> None:
    """Write the table of all models: the record, the test images, what the seeds predicted."""
    # gone through twice: for the names of classes, then for the rows
    models = list(models)
    classes = {record["target"]: list(images.classes) for record, images, _ in models}
    schema = SCHEMA.with_metadata({b"classes": json.dumps(classes).encode()})
    with pq.ParquetWriter(out / FILE, schema, compression="zstd") as file:
        for model in models:
            table = rows_of(*model).replace_schema_metadata(schema.metadata)
            file.write_table(table, row_group_size=max(1, len(table)))


def confusion(images: Examined, one: Predicted) -> list[tuple[str, str]]:
    """(class, class predicted) of every test image."""
    pairs = zip(images.label.tolist(), one.guess.tolist(), strict=True)
    return [(images.classes[label], images.classes[guess]) for label, guess in pairs]
