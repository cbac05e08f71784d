"""Rows of a Parquet table, those that Hugging Face writes among them, in bounded memory.

Images may lie within (a column of {bytes, path}, or of bytes); then they are read in small batches.
The schema's metadata `huggingface` (datasets/features/features.py) names which column holds images
where none is called `image`, which one a class where none is called `label`, and the names of the
classes, of a list of classes too.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from corpus.sources.lines import Asked, Found, check_columns

ROWS, BATCH = 1024, 8 << 20  # rows, and about so many bytes, of a batch
BUFFER = 1 << 20  # bytes of a column read at once, else all of it in a row group


class Columns(NamedTuple):
    """Which columns are read, what each one is called here; by that, the classes' names of those
    that hold their numbers.
    """

    names: dict[str, str]
    classes: dict[str, list[str]]


def _features(metadata: dict[bytes, bytes] | None) -> dict[str, Any]:
    """Hugging Face's description of the columns; empty where there is none that can be read."""
    try:
        about = json.loads((metadata or {}).get(b"huggingface", b"{}"))
        found = about["info"]["features"]
        return {name: one for name, one in found.items() if isinstance(one, (dict, list))}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _within(feature: Any) -> Any:
    """What a list of something, as Hugging Face has written it over the years, is a list of."""
    if isinstance(feature, list) and len(feature) == 1:
        return feature[0]
    listed = isinstance(feature, dict) and feature.get("_type") in ("Sequence", "List", "LargeList")
    return feature.get("feature") if listed else feature


def _typed(feature: Any) -> Any:
    return feature.get("_type") if isinstance(feature, dict) else None


def columns_read(names: list[str], metadata: dict[bytes, bytes] | None, asked: Asked) -> Columns:
    """Which of a table's columns are read."""
    features, called = _features(metadata), dict(zip(names, asked.called(names), strict=True))
    for ours, kind in (("image", "Image"), ("label", "ClassLabel")):
        typed = [name for name in names if _typed(features.get(name)) == kind]
        if ours not in called.values() and len(typed) == 1:
            called[typed[0]] = ours
    read = {name: ours for name, ours in called.items() if asked.others or ours in asked.wanted}
    classes = {}
    for name, ours in read.items():
        one = _within(features.get(name))
        if _typed(one) == "ClassLabel" and isinstance(one.get("names"), list):
            classes[ours] = [str(label) for label in one["names"]]
    return Columns(read, classes)


def class_of_number(value: Any, classes: list[str]) -> tuple[Any, str]:
    """(the name of a class given by its number, why there is none); -1 stands for no class.

    Of a list of numbers, the list of names.
    """
    if isinstance(value, list):
        pairs = [class_of_number(each, classes) for each in value]
        return [name for name, _ in pairs], next((why for _, why in pairs if why), "")
    if not classes or not isinstance(value, int):
        return value, ""
    if value == -1:
        return None, ""
    if 0 <= value < len(classes):
        return classes[value], ""
    return None, f"class number {value} is not among the {len(classes)} names of the table"


def _batch(batch: Any) -> list[tuple[dict[str, Any], str]]:
    """(row, reason) of each row of an Arrow record batch.

    One that Python cannot hold costs that row alone: text that is not UTF-8, a time before year 1.
    """
    try:
        return [(row, "") for row in batch.to_pylist()]
    except (ValueError, OverflowError) as error:
        if batch.num_rows == 1:
            return [({}, f"cannot be read ({error})")]
        return [pair for i in range(batch.num_rows) for pair in _batch(batch.slice(i, 1))]


def _size(table: Any, group: int, read: set[str]) -> int:
    """Rows of a batch: so many that their columns have about BATCH bytes."""
    about = table.metadata.row_group(group)
    parts = [about.column(i) for i in range(about.num_columns)]
    size = sum(c.total_uncompressed_size for c in parts if c.path_in_schema.split(".")[0] in read)
    return max(1, min(ROWS, BATCH * about.num_rows // max(1, size)))


def _batches(table: Any, read: list[str]) -> Iterator[Any]:
    for group in range(table.num_row_groups):
        size = _size(table, group, set(read))
        yield from table.iter_batches(size, row_groups=[group], columns=read, use_threads=False)


def parquet_rows(path: Path, asked: Asked) -> Iterator[Found]:
    """Its rows, column names as they are called here; ValueError if the file cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path, buffer_size=BUFFER) as table:
            schema = table.schema_arrow
            names, classes = columns_read(schema.names, schema.metadata, asked)
            every = [names.get(name, name.strip().lower()) for name in schema.names]
            check_columns(every, asked.needed)
            for batch in _batches(table, list(names)):
                for row, reason in _batch(batch):
                    number += 1
                    raw = {names[name]: value for name, value in row.items()}
                    for name in raw.keys() & classes.keys():
                        raw[name], fault = class_of_number(raw[name], classes[name])
                        reason = reason or fault
                    yield Found(f"row {number}", raw, reason)
    except (pa.ArrowException, OSError) as error:
        message = f"cannot be read after row {number} ({error}); export it again"
        raise ValueError(message) from None
