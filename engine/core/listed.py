"""List columns in a Parquet file: a row per sample, which differ in how many values they have.

Numbers and boxes are lists. Masks, and maps of the numbers of segments, are run lengths, which are
decoded when they are read: an image of a thousand masks at 640 x 480 is 300 MB of pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from corpus.media.runs import decode_into

RUNS = pa.struct(
    {
        "height": pa.int32(),
        "width": pa.int32(),
        "counts": pa.list_(pa.binary()),
        "values": pa.list_(pa.int32()),
    }
)


@dataclass(frozen=True)
class Packed:
    """Masks of an image; with `values` a map, that number at each pixel of a mask, 0 elsewhere."""

    height: int
    width: int
    counts: list[bytes]
    values: list[int] | None = None

    def __len__(self) -> int:
        return len(self.counts)

    def some(self, places: Tensor) -> "Packed":
        """Those of these masks."""
        return replace(self, counts=[self.counts[place] for place in places.tolist()])


def packed(row: Tensor | Packed) -> Tensor | Packed:
    """Masks bool (m, h, w), and maps of whole numbers (h, w), as run lengths; others as they are.

    Of a map no image has more than a few thousand numbers, all from 0 on.
    """
    if isinstance(row, Packed) or row.is_floating_point() or row.ndim < 2:
        return row
    row = row.cpu()
    if row.dtype == torch.bool and row.ndim == 3:
        return Packed(*row.shape[1:], [_encoded(mask) for mask in row])
    if row.dtype == torch.bool or row.ndim > 2:
        return row
    values = row.unique()
    values = values[values != 0].tolist()
    return Packed(*row.shape, [_encoded(row == value) for value in values], values)


def _encoded(mask: Tensor) -> bytes:
    from pycocotools import mask as rle

    # pycocotools reads columns first
    return rle.encode(np.asfortranarray(mask.numpy(), np.uint8))["counts"]


def arrow_lists(rows: Sequence[Tensor | Packed], like: Tensor | Packed | None = None) -> pa.Array:
    """The rows as an Arrow array; `Listed` is the way back.

    like: a row of the same form, where there may be none.
    """
    like = rows[0] if like is None and len(rows) else like
    if isinstance(like, Packed):
        return pa.array([vars(row) for row in rows], RUNS)
    if like is None:
        return pa.array([], pa.list_(pa.float32()))
    ends = np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64)
    flat = torch.cat([like[:0].cpu(), *(row.cpu() for row in rows)])
    values = pa.array(flat.flatten().numpy())
    for width in reversed(flat.shape[1:]):
        values = pa.FixedSizeListArray.from_arrays(values, width)
    return pa.ListArray.from_arrays(pa.array(ends.astype(np.int32)), values)


def is_listed(kind: pa.DataType) -> bool:
    """Whether a column of this type is one of lists."""
    return kind == RUNS or pa.types.is_list(kind)


class Listed(Sequence[Tensor]):
    """A list column of a file: tensors of some of its rows, made when they are asked for."""

    def __init__(self, column: pa.ChunkedArray) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, row: int) -> Tensor:
        found = self._column[row]
        if found.type == RUNS:
            return _decoded(Packed(**found.as_py()))
        values, shape = found.values, [len(found)]
        while pa.types.is_fixed_size_list(values.type):
            shape.append(values.type.list_size)
            values = values.flatten()
        flat = torch.from_numpy(np.array(values.to_numpy(zero_copy_only=False)))
        return flat.reshape(shape)

    def counts(self) -> list[int]:
        """How many values each row has."""
        return [len(row["counts"] if row.type == RUNS else row) for row in self._column]


def _decoded(runs: Packed) -> Tensor:
    """bool (m, h, w), or int32 (h, w) of a map; ValueError where the file is damaged."""
    masks = np.zeros((len(runs), runs.height, runs.width), bool)
    for mask, counts in zip(masks, runs.counts, strict=True):
        decode_into(mask, counts)
    if runs.values is None:
        return torch.from_numpy(masks)
    whole = np.zeros(masks.shape[1:], np.int32)
    for value, mask in zip(runs.values, masks, strict=True):
        whole[mask] = value
    return torch.from_numpy(whole)
