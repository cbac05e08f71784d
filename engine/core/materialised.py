"""Columns that a network gave of a data set, joined to it by id.

`engine.inference.materialising` writes them.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from engine.core.batch import Column
from engine.core.samples import Rows

METADATA = b"tagdag"  # what the file says of its origin, as JSON


def materialised(file: Path) -> tuple[list[str], dict[str, Tensor], dict[str, Any]]:
    """(ids, columns, metadata) of a file that `materialise` wrote.

    ValueError with cause and fix where it is missing or none.
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


def arrow_column(column: Column) -> pa.Array:
    """A row per sample: a number, or a list of numbers; `_tensor` is the way back."""
    if isinstance(column, list):
        return pa.array([row.cpu().flatten().tolist() for row in column])
    values = column.cpu()
    if values.ndim == 1:
        return pa.array(values.numpy())
    width = values[0].numel()
    return pa.FixedSizeListArray.from_arrays(pa.array(values.flatten().numpy()), width)


def _tensor(column: pa.ChunkedArray) -> Tensor:
    array = column.combine_chunks()
    if pa.types.is_fixed_size_list(array.type):
        flat = array.flatten().to_numpy(zero_copy_only=False)
        return torch.from_numpy(np.array(flat)).unflatten(0, (len(array), -1))
    return torch.from_numpy(np.array(array.to_numpy(zero_copy_only=False)))


def joined_by_id(samples: Rows, file: Path, reads: dict[str, Any]) -> Rows:
    """The samples that a file has columns of, which take the place of the shards' own.

    reads: the columns that are read of them. ValueError for ids that the shards do not have: the
    file is of another version of the data.
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
    more = {}
    for name in reads.keys() & columns.keys():
        column = columns[name]
        more[name] = column.new_zeros(len(samples.shards), *column.shape[1:])
        more[name][rows] = column
    return Rows(samples.shards, reads, rows, samples.size, more)
