"""index.parquet of a shard folder, read one split and few columns at a time, and kept small: ten
million rows fit.
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


COLUMNS = pa.schema(
    {
        "id": pa.string(),
        "split": pa.string(),
        "shard": pa.int32(),
        "offset": pa.int64(),
        "size": pa.int32(),
        "targets": pa.list_(pa.int32()),
    }
)


class IndexWriter:
    """Writes the index of a shard folder, a row group per tar: same rows, same bytes."""

    def __init__(self, folder: Path, names: list[str], size: int):
        about = json.dumps({"names": names, "size": size}, ensure_ascii=False)
        self._schema = COLUMNS.with_metadata({"tagdag": about})
        self._file = pq.ParquetWriter(folder / INDEX, self._schema, compression="zstd")

    def add(
        self, shard: int, keep: np.ndarray, images: pa.Table, ids: np.ndarray, sizes: np.ndarray
    ) -> None:
        """The images (id, split, offset, size) of one tar that are to `keep`, bool (n,).

        Their targets are flat int32 `ids`, `sizes` of each image.
        """
        chosen, ends = (
            pa.array(keep),
            np.concatenate([[0], np.cumsum(sizes[keep])]).astype(np.int32),
        )
        targets = pa.ListArray.from_arrays(
            pa.array(ends), pa.array(ids[np.repeat(keep, sizes)], pa.int32())
        )
        kept = images.filter(chosen)
        columns = {name: kept[name] for name in ("id", "split", "offset", "size")}
        columns |= {"shard": pa.array(np.full(len(kept), shard, np.int32)), "targets": targets}
        self._file.write_table(
            pa.table([columns[name] for name in COLUMNS.names], schema=self._schema)
        )

    def __enter__(self) -> "IndexWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


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
    """The int64 class indices of each image, cut out of `flat` when asked for: flat[offsets[i] :
    offsets[i + 1]].

    `flat`: int32, all images' indices one after the other; `offsets`: int64 (images + 1,).
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
        return np.repeat(np.arange(len(indices)), counts), self.flat[
            np.repeat(starts, counts) + within
        ]

    @cached_property
    def single(self) -> bool:
        """Whether every image has exactly one."""
        return bool((np.diff(self.offsets) == 1).all())


def read_index(path: Path, split: str, columns: list[str]) -> tuple[dict, pa.Table]:
    """(what the index says of all images, these columns of one split in its order).

    Other columns are ignored.

    ValueError if the file is missing or damaged, or has no image of that split.
    """
    if not path.is_file():
        raise ValueError(f"{path} is missing; {REPAIR}")
    try:
        about = json.loads((pq.read_schema(path).metadata or {})[b"tagdag"])
        table = pq.read_table(
            path, columns=columns, filters=[("split", "==", split)], partitioning=None
        )
        if len(table):
            return about, table
        splits = (
            pq.read_table(path, columns=["split"], partitioning=None)["split"].unique().to_pylist()
        )
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({str(error).splitlines()[0]}); {REPAIR}") from error
    raise ValueError(
        f"{path.parent} has no split {split!r}, only {', '.join(sorted(splits)) or 'no image'}"
    )
