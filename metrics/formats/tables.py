"""Two .parquet files joined by id, or one that has both, or two .npy files.

- Parquet: a column `id`, and one for each of those that the metric reads; a row of several numbers
  is a list. A target that is null is not known.
- .npy: the one array that the metric reads of the file, a row per sample, in the order of the other
  file.

Names of classes may stand in a Parquet file's metadata: JSON under `tagdag`, in it `names`.
"""

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

from metrics.blocks.metric import Names, Reads
from metrics.blocks.refusing import some
from metrics.formats.pair import Pair, taken

Columns = dict[str, Tensor | list[Tensor]]
Where = Mapping[str, str]


class Table(NamedTuple):
    """Samples of a file: ids where it has them, columns by name, names of classes if known."""

    ids: list[str] | None
    columns: Columns
    names: list[str]


def read(
    predictions: Path,
    targets: Path | None,
    reads: Reads,
    common: bool = False,
    where: Where | None = None,
) -> Pair:
    """What a metric reads, a row per sample, in the order of the predictions.

    targets: None where the file of predictions has both. where: columns of that file and the value
    that a row must have there. common: leave out ids that one file alone has. ValueError with cause
    and fix where a file, a column or the ids do not fit.
    """
    asked, answers, where = _names_of(reads.predictions), _names_of(reads.targets), where or {}
    if targets is None:
        both = read_table(predictions, [*asked, *answers], where)
        _all_given(both, asked, predictions)
        return Pair(both.columns, both.columns, both.names, _samples(both))
    given, true = read_table(predictions, asked, where), read_table(targets, answers, {})
    _all_given(given, asked, predictions)
    names = given.names or true.names
    if given.ids is not None and true.ids is not None:
        rows, true_rows = _matched(given.ids, true.ids, common)
        samples = [given.ids[row] for row in rows.tolist()]
        columns, others = taken(given.columns, rows), taken(true.columns, true_rows)
        return Pair(columns, others, names, samples)
    one, other = (len(next(iter(each.columns.values()))) for each in (given, true))
    if one != other:
        raise ValueError(
            f"{predictions} has {one} rows, {targets} has {other}: give files of the same samples "
            "in the same order, or two Parquet files with a column id"
        )
    return Pair(given.columns, true.columns, names, _samples(given))


def _names_of(columns: Names) -> list[tuple[str, ...]]:
    return [(names,) if isinstance(names, str) else names for names in columns]


def _samples(table: Table) -> list[str]:
    """What each row is called: its number, where it has no id."""
    return table.ids or list(map(str, range(len(next(iter(table.columns.values()))))))


def _all_given(table: Table, wanted: Sequence[tuple[str, ...]], file: Path) -> None:
    """ValueError where a sample lacks its predictions: only a target may be unknown."""
    for name in itertools.chain.from_iterable(wanted):
        lacking = ~table.columns.get(f"{name}_known", torch.ones(1, dtype=torch.bool))
        if lacking.any():
            raise ValueError(
                f"{file}: {name} is null in {int(lacking.sum())} of {len(lacking)} rows; give the "
                "predictions of all samples, or leave out those rows and give --common"
            )


def read_table(file: Path, wanted: Sequence[tuple[str, ...]], where: Where) -> Table:
    """The columns of a file that a metric reads: of each tuple those that are there.

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
    chosen = [name for names in wanted for name in names if name in schema.names]
    chosen += [f"{name}_known" for name in chosen if f"{name}_known" in schema.names]
    more = [name for name in ("id", *where) if name in schema.names]
    table = _rows(_not_empty(pq.read_table(file, columns=sorted({*chosen, *more})), file), where)
    ids = _ids(table, schema, file) if "id" in more else None
    columns: Columns = {}
    for name in chosen:
        # what a null tells is not undone by a column of its own
        columns = _column(table[name].combine_chunks(), name, file) | columns
    return Table(ids, columns, _names(schema))


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


def _matched(given: list[str], true: list[str], common: bool) -> tuple[Tensor, Tensor]:
    """Rows of both files with the same ids, in the order of the first."""
    place = {key: row for row, key in enumerate(true)}
    alone = [key for key in given if key not in place]
    lacking = sorted(set(true) - set(given))
    if (alone or lacking) and not common:
        told = [
            f"{len(keys)} of {total} {what} ({some(keys)})"
            for keys, total, what in (
                (alone, len(given), "predictions have no target"),
                (lacking, len(true), "targets have no prediction"),
            )
            if keys
        ]
        raise ValueError(
            f"{'; '.join(told)}: give files of the same samples, or --common to count those that "
            "both have"
        )
    pairs = [(row, place[key]) for row, key in enumerate(given) if key in place]
    rows = torch.tensor(pairs, dtype=torch.int64).view(-1, 2)
    return rows[:, 0], rows[:, 1]
