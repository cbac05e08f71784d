"""index.parquet of a shard folder, read by split and column, and kept small: ten million rows fit.

corpus.store.indexing writes it.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

INDEX = "index.parquet"
REPAIR = "restore it with `dvc checkout`, or build it again"


class Ids(Sequence[str]):
    """Ids of images in an Arrow array: strings are made when asked for."""

    def __init__(self, array: pa.ChunkedArray):
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, index: int) -> str:
        return self._array[index].as_py()

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), 1 << 16):
            yield from self._array.slice(start, 1 << 16).to_pylist()


class Lists(Sequence[np.ndarray]):
    """The values of each image in a list column, such as its classes, cut out of `flat`.

    `flat`: all images' values one after the other; `offsets`: int64 (images + 1,). Image i has
    flat[offsets[i] : offsets[i + 1]]. Classes are int32 in `flat`, and int64 when asked for.
    """

    def __init__(self, lists: pa.ListArray):
        assert not lists.null_count, "an image without a list"
        # bits, as Arrow has booleans, are unpacked
        self.flat = lists.flatten().to_numpy(zero_copy_only=False)
        self.offsets = np.zeros(len(lists) + 1, np.int64)
        np.cumsum(lists.value_lengths(), out=self.offsets[1:])

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        index = range(len(self))[index]  # IndexError beyond the end
        values = self.flat[self.offsets[index] : self.offsets[index + 1]]
        return values.astype(np.int64) if values.dtype == np.int32 else values

    def of(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(position in `indices`, value) of every value of these images."""
        starts, counts = self.offsets[indices], self.offsets[indices + 1] - self.offsets[indices]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        positions = np.repeat(np.arange(len(indices)), counts)
        return positions, self.flat[np.repeat(starts, counts) + within]

    @cached_property
    def width(self) -> int | None:
        """The number of values that every image has; None where they differ, or of no image."""
        sizes = np.diff(self.offsets)
        return int(sizes[0]) if len(sizes) and (sizes == sizes[0]).all() else None


class Blobs(Sequence[list[bytes]]):
    """The bytes of each image's objects in a list column, such as run lengths, left in Arrow.

    In chunks, each of which may have 2 GB.
    """

    def __init__(self, lists: pa.ChunkedArray):
        self.lists = lists

    def __len__(self) -> int:
        return len(self.lists)

    def __getitem__(self, index: int) -> list[bytes]:
        return self.lists[index].as_py()


def lists_of(column: pa.ChunkedArray) -> Lists | Blobs:
    """A list column as it is read: numbers, or bytes."""
    bytes_ = pa.types.is_binary(column.type.value_type)
    return Blobs(column) if bytes_ else Lists(column.combine_chunks())


def described_index(path: Path) -> dict:
    """What an index says of all of its images."""
    return json.loads((pq.read_schema(path).metadata or {})[b"tagdag"])


def read_index(
    path: Path, split: str, columns: list[str], optional: Collection[str] = ()
) -> tuple[dict, pa.Table]:
    """(what the index says of all images, these columns of one split in its order).

    Other columns are ignored, `optional` ones are read where the index has them. ValueError if the
    file is missing or damaged, or has no image of that split.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing; {REPAIR}")
    try:
        schema = pq.read_schema(path)
        about = json.loads((schema.metadata or {})[b"tagdag"])
        columns = [*columns, *(name for name in optional if name in schema.names)]
        # without `partitioning` a folder called split=... would add a column
        wanted = {"columns": columns, "filters": [("split", "==", split)]}
        table = pq.read_table(path, partitioning=None, **wanted)
        if len(table):
            return about, table
        splits = pq.read_table(path, columns=["split"], partitioning=None)["split"].unique()
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({str(error).splitlines()[0]}); {REPAIR}") from error
    there = ", ".join(sorted(splits.to_pylist())) or "no image"
    raise ValueError(f"{path.parent} has no split {split!r}, only {there}")
