"""index.parquet of a shard folder, read by split and column, and kept small: ten million rows fit.

corpus.store.indexing writes it.
"""

import json
from collections.abc import Iterator, Sequence
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


class Targets(Sequence[np.ndarray]):
    """The int64 class indices of each image, cut out of `flat` when asked for.

    `flat`: int32, all images' indices one after the other; `offsets`: int64 (images + 1,). Image i
    has flat[offsets[i] : offsets[i + 1]].
    """

    def __init__(self, lists: pa.ListArray):
        self.flat = lists.flatten().to_numpy()
        self.offsets = np.zeros(len(lists) + 1, np.int64)
        np.cumsum(lists.value_lengths(), out=self.offsets[1:])

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        index = range(len(self))[index]  # IndexError beyond the end
        return self.flat[self.offsets[index] : self.offsets[index + 1]].astype(np.int64)

    def of(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(position in `indices`, class index) of every target of these images."""
        starts, counts = self.offsets[indices], self.offsets[indices + 1] - self.offsets[indices]
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        positions = np.repeat(np.arange(len(indices)), counts)
        return positions, self.flat[np.repeat(starts, counts) + within]

    @cached_property
    def single(self) -> bool:
        """Whether every image has exactly one."""
        return bool((np.diff(self.offsets) == 1).all())


def read_index(path: Path, split: str, columns: list[str]) -> tuple[dict, pa.Table]:
    """(what the index says of all images, these columns of one split in its order).

    Other columns are ignored. ValueError if the file is missing or damaged, or has no image of that
    split.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing; {REPAIR}")
    try:
        about = json.loads((pq.read_schema(path).metadata or {})[b"tagdag"])
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
