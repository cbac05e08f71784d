"""Columns that a network gave of a data set, joined to it by id.

`engine.inference.materialising` writes them.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from engine.core.batch import Column
from engine.core.filled import lacking, of_objects
from engine.core.listed import Listed, arrow_lists, is_listed, packed
from engine.core.samples import Rows

METADATA = b"tagdag"  # what the file says of its origin, as JSON


def materialised(file: Path) -> tuple[list[str], dict[str, Tensor | Listed], dict[str, Any]]:
    """(ids, columns, metadata) of a file that `materialise` wrote.

    Lists are read row by row, masks decoded then. ValueError with cause and fix where it is missing
    or none.
    """
    again = "run the stage materialise again"
    try:
        table = pq.read_table(file, partitioning=None)
        about = json.loads((table.schema.metadata or {})[METADATA])
        ids = table["id"].to_pylist()
        names = [name for name in table.column_names if name != "id"]
        return ids, {name: _tensor(table[name]) for name in names}, about
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        cause = str(error).splitlines()[0]
        raise ValueError(f"{file} holds no predictions of a network ({cause}): {again}") from error


def origin(file: Path) -> dict[str, Any]:
    """What a file that `materialise` wrote says of its origin."""
    return json.loads(pq.read_schema(file).metadata[METADATA])


def arrow_column(column: Column, like: Column | None = None) -> pa.Array:
    """A row per sample: a number, so many numbers, or a list; `_tensor` is the way back.

    like: a column of the same form, where this one may be empty.
    """
    if isinstance(column, list):
        example = next(iter(like or column), None)
        rows = [packed(row) for row in column]
        return arrow_lists(rows, None if example is None else packed(example))
    values = column.cpu()
    if values.ndim == 1:
        return pa.array(values.numpy())
    width = values[0].numel()
    return pa.FixedSizeListArray.from_arrays(pa.array(values.flatten().numpy()), width)


def _tensor(column: pa.ChunkedArray) -> Tensor | Listed:
    if is_listed(column.type):
        return Listed(column)
    array = column.combine_chunks()
    if pa.types.is_fixed_size_list(array.type):
        flat = array.flatten().to_numpy(zero_copy_only=False)
        return torch.from_numpy(np.array(flat)).unflatten(0, (len(array), -1))
    return torch.from_numpy(np.array(array.to_numpy(zero_copy_only=False)))


class _Joined:
    """A list column by the rows of the shards, made when it is read."""

    def __init__(self, made: Callable[[int], Tensor], place: Tensor) -> None:
        self.made, self.place = made, place

    def __getitem__(self, rows: Tensor) -> list[Tensor]:
        return [self.made(row) for row in self.place[rows].tolist()]


def joined_by_id(samples: Rows, file: Path, reads: dict[str, Any]) -> Rows:
    """The samples that a file has columns of, which take the place of the shards' own.

    Of objects or maps that a network found, what only annotated images have is filled in: no crowd,
    nothing ignored, no class said to be absent (engine/core/filled.py).

    reads: the columns that are read of them. ValueError for ids that the shards do not have: the
    file is of another version of the data; and for a column of objects that the file has not.
    """
    ids, columns, _ = materialised(file)
    place = {name: row for row, name in enumerate(samples.shards.ids)}
    strange = [name for name in ids if name not in place]
    if strange:
        raise ValueError(
            f"{file} has {len(strange)} of {len(ids)} ids that {samples.shards.folder} has not, "
            f"such as {strange[0]!r}: run the stage materialise again"
        )
    rows = torch.tensor([place[name] for name in ids], dtype=torch.int64)
    back = torch.full((len(samples.shards),), -1)
    back[rows] = torch.arange(len(rows))
    more: dict[str, Any] = {}
    for name in reads.keys() & columns.keys():
        column = columns[name]
        if isinstance(column, Listed):
            more[name] = _Joined(column.__getitem__, back)
            continue
        more[name] = column.new_zeros(len(samples.shards), *column.shape[1:])
        more[name][rows] = column
    if of_objects(columns):
        more |= _as_annotated(samples, columns, reads, back, file)
    return Rows(samples.shards, reads, rows, samples.size, more)


def _as_annotated(
    samples: Rows,
    columns: Mapping[str, Tensor | Listed],
    reads: Mapping[str, Any],
    back: Tensor,
    file: Path,
) -> dict[str, Any]:
    """What else is read of annotated images, and what of the shards is stored in another form."""
    found: dict[str, Any] = {}
    for name in reads.keys() - columns.keys() - {"image"}:
        made = lacking(name, columns, reads, file)
        if made:
            found[name] = _Joined(made, back)
    # posts and labelled images are squares, and annotated images of any shape
    if "image" in reads and samples.shards.columns["image"]["read"] != "picture":
        images = samples.shards.images
        found["image"] = _Joined(lambda row: images([row])[0], torch.arange(len(back)))
    return found
