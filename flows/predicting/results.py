"""The table of predictions: one row per image, as CSV, JSON lines or Parquet, there whole or not.

Of a network of classes: image, class, score, top and top_scores (the best few), error. Of one
pretrained on hashtags: image, hashtags, scores, error; so `python -m flows.version add --posts`
can read it. Scores are float32; CSV and JSON have the fewest digits that tell them apart.
"""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = (".csv", ".jsonl", ".parquet")
ROW_GROUP = 1 << 16  # rows


class Naming(NamedTuple):
    """Names of the classes, or of hashtags, of which several may be right."""

    names: Sequence[str]
    multi: bool


def format_of(path: Path, formats: Sequence[str] = FORMATS) -> str:
    """The ending of a file to write; ValueError for one that is none of the formats."""
    ending = path.suffix.lower()
    if ending not in formats:
        raise ValueError(f"{path}: the ending tells the format: take {', '.join(formats)}")
    return ending


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file to write into, which takes the place of `path` when the block ends well."""
    part = path.with_name(f".{path.name}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield part
        with part.open("rb") as file:
            # or a power cut could leave the new name with nothing in it
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def as_table(kept: "pa.RecordBatch", naming: Naming) -> "pa.Table":
    """Rows as people read them, out of those that are kept."""
    import pyarrow as pa

    best, scores = kept["best"], kept["scores"]
    every = pa.array(naming.names, pa.string())
    listed = pa.ListArray.from_arrays(best.offsets, every.take(best.values), mask=best.is_null())
    columns: dict[str, Any] = {"image": kept["image"]}
    if naming.multi:
        columns |= {"hashtags": listed, "scores": scores}
    else:
        columns |= {"class": _first(listed), "score": _first(scores)}
        columns |= {"top": listed, "top_scores": scores}
    return pa.table(columns | {"error": kept["error"]})


def _first(lists: "pa.ListArray") -> "pa.Array":
    """The first item of each list; null for a list without one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    some = pc.fill_null(pc.greater(pc.list_value_length(lists), 0), False)
    places = pc.if_else(some, lists.offsets[:-1], pa.scalar(None, pa.int32()))
    return lists.values.take(places)


def write_table(path: Path, batches: Iterable["pa.RecordBatch"], naming: Naming) -> None:
    """Write the rows that are kept as a table, in the format that the ending names."""
    tables = (as_table(batch, naming) for batch in batches)
    writers = {".csv": _write_csv, ".jsonl": _write_jsonl, ".parquet": _write_parquet}
    with whole(path) as part:
        writers[format_of(path)](part, tables)


def _write_parquet(path: Path, tables: Iterator["pa.Table"]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    waiting, rows = [next(tables)], 0
    with pq.ParquetWriter(path, waiting[0].schema, compression="zstd") as file:
        for table in tables:
            waiting.append(table)
            rows += len(table)
            # a row group of a batch each would cost more than the rows
            if rows >= ROW_GROUP:
                file.write_table(pa.concat_tables(waiting))
                waiting, rows = [], 0
        if waiting:
            file.write_table(pa.concat_tables(waiting))


def _rows(table: "pa.Table") -> Iterator[dict[str, Any]]:
    """The rows with scores of the fewest digits that tell one float32 from another."""
    import pyarrow as pa

    fields = []
    for field in table.schema:
        # Python's own float would be printed with the digits of a double
        if pa.types.is_float32(field.type):
            field = field.with_type(pa.string())
        elif pa.types.is_list(field.type) and pa.types.is_float32(field.type.value_type):
            field = field.with_type(pa.list_(pa.string()))
        fields.append(field)
    numbers = {"score", "scores", "top_scores"}
    for row in table.cast(pa.schema(fields)).to_pylist():
        yield {key: _number(value) if key in numbers else value for key, value in row.items()}


def _number(value: str | list[str] | None) -> float | list[float] | None:
    if isinstance(value, list):
        return [float(each) for each in value]
    return None if value is None else float(value)


def _write_jsonl(path: Path, tables: Iterator["pa.Table"]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for table in tables:
            for row in _rows(table):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _write_csv(path: Path, tables: Iterator["pa.Table"]) -> None:
    """Lists stand as JSON in their cells."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for number, table in enumerate(tables):
            if not number:
                writer.writerow(table.column_names)
            for row in _rows(table):
                writer.writerow([_cell(value) for value in row.values()])


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else value
