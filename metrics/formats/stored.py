"""The columns of one file, Parquet or .npy, as a metric reads them."""

import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from torch import Tensor

from metrics.blocks.masks.runlengths import runs_of

RUNS = {"height", "width", "counts"}  # of masks, as engine/core/listed.py writes them
TOGETHER = 2000  # masks that are checked at a time
Columns = dict[str, Tensor | list[Tensor]]
Where = Mapping[str, str]


class Table(NamedTuple):
    """Samples of a file: ids where it has them, columns by name, names of classes if known."""

    ids: list[str] | None
    columns: Columns
    names: list[str]


def read_table(
    file: Path, wanted: Sequence[tuple[str, ...]], where: Where, more: Sequence[str] = ()
) -> Table:
    """The columns of a file that a metric reads: of each tuple those that are there, and `more`.

    ValueError where there is none of a tuple, or the file cannot be read.
    """
    if file.suffix == ".npy" and len(wanted) == 1 and not where:
        return Table(None, {wanted[0][0]: _array(file)}, [])
    if file.suffix != ".parquet":
        raise ValueError(
            f"{file}: give a .parquet file, or two .npy files: one array of predictions, one of "
            "targets"
        )
    schema = _schema(file, [*wanted, *((name,) for name in where)])
    every = itertools.chain(itertools.chain.from_iterable(wanted), more)
    chosen = [name for name in dict.fromkeys(every) if name in schema.names]
    chosen += [f"{name}_known" for name in chosen if f"{name}_known" in schema.names]
    about = [name for name in ("id", *where) if name in schema.names]
    table = _rows(_not_empty(pq.read_table(file, columns=sorted({*chosen, *about})), file), where)
    ids = _ids(table, schema, file) if "id" in about else None
    columns: Columns = {}
    for name in chosen:
        # what a null tells is not undone by a column of its own
        columns = _column(table[name].combine_chunks(), name, file) | columns
    return Table(ids, columns, _names(schema))


def column_names(file: Path) -> list[str]:
    """The columns of a Parquet file; none of any other."""
    try:
        return pq.read_schema(file).names
    except (pa.ArrowInvalid, OSError):
        return []


def _array(file: Path) -> Tensor:
    try:
        found = torch.from_numpy(np.load(file, allow_pickle=False))
    except (ValueError, TypeError, EOFError) as error:
        raise ValueError(f"{file} is no .npy file of numbers: {error}") from None
    return _not_empty(found, file)


def _not_empty(found: Any, file: Path) -> Any:
    if not len(found):
        raise ValueError(f"{file} has no rows: give a file with samples")
    return found


def _schema(file: Path, wanted: Sequence[tuple[str, ...]]) -> pa.Schema:
    """What columns there are; ValueError where there is none of a tuple of these."""
    try:
        schema = pq.read_schema(file)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{file} is no Parquet file: {error}") from None
    for names in wanted:
        if not set(names) & set(schema.names):
            raise ValueError(
                f"{file} has no column {' or '.join(names)}, which is to be read; it has "
                f"{', '.join(schema.names) or 'none'}"
            )
    return schema


def _names(schema: pa.Schema) -> list[str]:
    return json.loads((schema.metadata or {}).get(b"tagdag", b"{}")).get("names", [])


def _rows(table: pa.Table, where: Where) -> pa.Table:
    """Those rows that have these values."""
    for name, value in where.items():
        texts = pc.cast(table[name], pa.string())
        kept = table.filter(pc.equal(texts, value))
        if not len(kept):
            there = ", ".join(map(str, pc.unique(texts).to_pylist()[:10]))
            raise ValueError(f"no row has {name}={value}; {name} is one of: {there or 'nothing'}")
        table = kept
    return table


def _ids(table: pa.Table, schema: pa.Schema, file: Path) -> list[str]:
    ids = [str(key) for key in table["id"].to_pylist()]
    [(key, most)] = Counter(ids).most_common(1) or [("", 0)]
    if most > 1:
        others = ", ".join(name for name in schema.names if name != "id")
        raise ValueError(
            f"{file}: {most} rows have the id {key}; give one row per sample, or choose with "
            f"--where COLUMN=VALUE those of one model (columns: {others})"
        )
    return ids


def _column(found: pa.Array, name: str, file: Path) -> Columns:
    """The column, and `<name>_known` where some of it is null."""
    columns: Columns = {}
    if pa.types.is_struct(found.type) or _nested(found.type):
        return {name: _objects(found, name, file)}
    if found.null_count:
        columns[f"{name}_known"] = torch.from_numpy(~_numpy(found.is_null(), name, file))
    if not (pa.types.is_list(found.type) or pa.types.is_fixed_size_list(found.type)):
        columns[name] = torch.from_numpy(_numpy(found, name, file))
        return columns
    lengths = _numpy(pc.list_value_length(found), name, file)
    flat = found.flatten()
    if flat.null_count:
        raise ValueError(
            f"{file}: column {name} has nulls within lists; give a number for each class, or a "
            "null in the place of the whole list"
        )
    values = torch.from_numpy(_numpy(flat, name, file))
    some = lengths[lengths > 0]
    # a null has no values: it is made of as many zeros as the others have
    if len(set(some.tolist())) <= 1 and (lengths > 0).sum() + found.null_count == len(found):
        width = int(some.max(initial=0))
        rows = values.new_zeros(len(found), width)
        rows[torch.from_numpy(lengths > 0)] = values.view(len(some), width)
        columns[name] = rows
    else:
        columns[name] = list(values.split(lengths.tolist()))
    return columns


def _nested(kind: pa.DataType) -> bool:
    """Whether a row is a list of lists, as of boxes."""
    listed = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)
    return listed and pa.types.is_nested(kind.value_type)


def _objects(found: pa.Array, name: str, file: Path) -> list:
    """A row per sample: numbers of each object (m, k), run lengths of masks, or a map (h, w)."""
    if found.null_count:
        raise ValueError(
            f"{file}: column {name} is null in {found.null_count} rows: leave them out"
        )
    if not pa.types.is_struct(found.type):
        return [_matrix(found.values, row, name, file) for row in _spans(found)]
    if RUNS - {field.name for field in found.type}:
        raise ValueError(
            f"{file}: column {name} holds {found.type}, give {', '.join(sorted(RUNS))}"
        )
    try:
        return [_decoded(row) for row in found.to_pylist()]
    except (ValueError, TypeError) as error:
        raise ValueError(f"{file}: column {name} has {error}; write it again") from None


def _spans(found: pa.Array) -> list[tuple[int, int]]:
    if pa.types.is_fixed_size_list(found.type):
        width = found.type.list_size
        first = found.offset * width
        return [(first + width * row, first + width * (row + 1)) for row in range(len(found))]
    ends = found.offsets.to_pylist()
    return list(itertools.pairwise(ends))


def _matrix(values: pa.Array, span: tuple[int, int], name: str, file: Path) -> Tensor:
    """The lists of one sample, all of one length, as a tensor."""
    rows = values.slice(span[0], span[1] - span[0])
    lengths = _numpy(pc.list_value_length(rows), name, file)
    width = values.type.list_size if pa.types.is_fixed_size_list(values.type) else None
    if len(set(lengths.tolist())) > 1 or rows.null_count:
        raise ValueError(f"{file}: column {name} has lists of different lengths in one sample")
    width = width or int(lengths.max(initial=0))
    return torch.from_numpy(_numpy(rows.flatten(), name, file)).reshape(len(rows), width)


def _decoded(row: Mapping[str, Any]) -> Tensor | list[dict[str, Any]]:
    """Run lengths as pycocotools has them; with `values` the map (h, w) of these numbers."""
    height, width = row["height"], row["width"]
    runs = [{"size": [height, width], "counts": counts} for counts in row["counts"]]
    columns = np.zeros(height * width, np.int32)
    for first in range(0, len(runs), TOGETHER):
        # pycocotools reads on beyond run lengths that are damaged
        ones = runs_of(runs[first : first + TOGETHER], height * width)
        for place, start, end in zip(*ones, strict=True) if row.get("values") else ():
            columns[start:end] = row["values"][first + place]
    if row.get("values") is None:
        return runs
    return torch.from_numpy(np.ascontiguousarray(columns.reshape(width, height).T))


def _numpy(found: pa.Array, name: str, file: Path) -> np.ndarray:
    """A flat column; a null is 0. ValueError where it holds no numbers."""
    kind = found.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise ValueError(
            f"{file}: column {name} holds {kind}, give numbers (classes are counted from 0) or "
            "lists of numbers"
        )
    filled = found.fill_null(False if pa.types.is_boolean(kind) else 0)
    return filled.to_numpy(zero_copy_only=False).copy()
