"""Posts out of Parquet, and an index of those with a class: id, row, classes, repeat factor.

Streamed in row groups on both ends: what scale_sides.py asks of our side besides the product.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpus.reading.resampling import rarest_class
from corpus.tags.names import Targets
from corpus.tags.table import ahead

ROWS = 1 << 17  # of a row group
SCHEMA = pa.schema(
    {"id": pa.string(), "row": pa.int64(), "targets": pa.list_(pa.int32()), "repeats": pa.float32()}
)


def tag_batches(path: Path, rows: int = 1 << 17) -> Iterator[pa.RecordBatch]:
    """The columns id, user, hashtags of a Parquet file, tags as its dictionary's codes if any."""
    with pq.ParquetFile(path, read_dictionary=["hashtags.list.element"]) as file:
        columns = [name for name in ("id", "user", "hashtags") if name in file.schema_arrow.names]
        # group by group: pyarrow (25.0) cannot put codes of two groups into one batch
        for group in range(file.num_row_groups):
            yield from file.iter_batches(rows, row_groups=[group], columns=columns)


def images_of_rarest(targets: Iterable[Targets], counts: np.ndarray) -> np.ndarray:
    """Per class the posts whose rarest class it is, int64 (classes,), for `class_factors`."""
    images = np.zeros(len(counts) + 1, np.int64)
    for _, ids, ends in targets:
        images += np.bincount(rarest_class(ids, ends, counts) + 1, minlength=len(images))
    return images[1:]


def write_index(
    path: Path,
    ids: Iterable[pa.Array],
    targets: Iterable[Targets],
    counts: np.ndarray,
    factors: np.ndarray,
) -> int:
    """Writes the posts with at least one class; returns their number.

    `ids` are those of all posts, in pieces of any length; `counts` the posts per class, `factors`
    the `class_factors`.
    """
    ids, written = _Pieces(ahead(ids)), 0
    with pq.ParquetWriter(path, SCHEMA, compression="zstd", use_dictionary=False) as writer:
        for first, flat, ends in ahead(targets):
            rarest = rarest_class(flat, ends, counts)
            with_class = np.flatnonzero(rarest >= 0)
            # posts without a class have no length
            lists = np.concatenate([[0], ends[with_class]]).astype(np.int32)
            columns = [
                ids.next(len(ends)).take(pa.array(with_class)),
                pa.array(first + with_class),
                pa.ListArray.from_arrays(pa.array(lists), pa.array(flat)),
                pa.array(factors[rarest[with_class]]),
            ]
            writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), row_group_size=ROWS)
            written += len(with_class)
    return written


class _Pieces:
    """Arrays of any lengths, handed out in the lengths asked for."""

    def __init__(self, arrays: Iterable[pa.Array]):
        self._arrays: Iterator[pa.Array] = iter(arrays)
        self._rest = pa.array([], pa.string())

    def next(self, length: int) -> pa.Array:
        parts, wanted = [], length
        while wanted > len(self._rest):
            parts.append(self._rest)
            wanted -= len(self._rest)
            piece = next(self._arrays, None)
            assert piece is not None, "fewer ids than posts"
            self._rest = piece.cast(pa.string())
        parts.append(self._rest[:wanted])
        self._rest = self._rest[wanted:]
        return pa.concat_arrays(parts)
