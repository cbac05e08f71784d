"""The table of predictions: one row per image, as CSV, JSON lines or Parquet, there whole or not.

Of a network of classes: image, class, score, top and top_scores (the best few), error. Of one
pretrained on hashtags: image, hashtags, scores, error; so `python -m flows.version add --posts`
can read it. Scores are float32; CSV and JSON have the fewest digits that tell them apart.
"""

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
    """Names of the classes, or of hashtags, of which several may be right; what has them, an image
    or a video, which is the first column's name.
    """

    names: Sequence[str]
    several: str
    media: str = "image"


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


def as_table(
    kept: "pa.RecordBatch", every: "pa.Array", several: str, media: str = "image"
) -> "pa.Table":
    """Rows as people read them, out of those that are kept; `every`: the names.

    several: what the column is called where more than one may be right, else empty.
    """
    import pyarrow as pa

    best, scores = kept["best"], kept["scores"]
    listed = pa.ListArray.from_arrays(best.offsets, every.take(best.values), mask=best.is_null())
    columns: dict[str, Any] = {media: kept["image"]}
    if several:
        columns |= {several: listed, "scores": scores}
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
    import pyarrow as pa

    every = pa.array(naming.names, pa.string())
    tables = (as_table(batch, every, naming.several, naming.media) for batch in batches)
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


def _as_json(column: "pa.Array") -> "pa.Array":
    """The values of a column as JSON, null where they are; made by Arrow, not value by value."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_list(column.type):
        items = pa.ListArray.from_arrays(
            column.offsets, _as_json(column.values), mask=column.is_null()
        )
        return pc.binary_join_element_wise("[", pc.binary_join(items, ", "), "]", "")
    if pa.types.is_floating(column.type):
        # of a float32 the fewest digits that tell it from another; Python would print a double's
        return column.cast(pa.string())
    distinct = column.dictionary_encode()
    texts = [json.dumps(text, ensure_ascii=False) for text in distinct.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(distinct.indices)


def _write_jsonl(path: Path, tables: Iterator["pa.Table"]) -> None:
    import pyarrow.compute as pc

    with path.open("w", encoding="utf-8", newline="\n") as file:
        for table in tables:
            names = [f'"{name}": ' for name in table.column_names]
            values = [pc.fill_null(_as_json(_plain(column)), "null") for column in table.columns]
            pairs = [
                pc.binary_join_element_wise(*pair, "") for pair in zip(names, values, strict=True)
            ]
            rows = pc.binary_join_element_wise(*pairs, ", ").to_pylist()
            file.writelines(f"{{{row}}}\n" for row in rows)


def _write_csv(path: Path, tables: Iterator["pa.Table"]) -> None:
    """Lists stand as JSON in their cells."""
    import pyarrow as pa
    from pyarrow import csv

    options = csv.WriteOptions(include_header=False)
    with path.open("wb") as file:
        for number, table in enumerate(tables):
            if not number:
                file.write(",".join(table.column_names).encode() + b"\n")
            columns = [_plain(column) for column in table.columns]
            texts = [each if pa.types.is_string(each.type) else _as_json(each) for each in columns]
            csv.write_csv(pa.table(texts, table.column_names), file, options)


def _plain(column: "pa.ChunkedArray") -> "pa.Array":
    """The column in one piece."""
    [chunk] = column.chunks
    return chunk
