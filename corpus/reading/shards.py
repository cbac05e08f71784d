"""Training shards: JPEGs, or videos of JPEG frames, in tars (webdataset reads them too), reached by
index.parquet.
"""

import mmap
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from corpus.media.decoding import decode, decode_frames
from corpus.reading.columns import (
    Column,
    class_of,
    complete_columns,
    derived_columns,
    multi_hot,
    read_column,
)
from corpus.reading.index import INDEX, REPAIR, Blobs, Ids, Lists, lists_of, read_index

MAPS = 512  # shards mapped at a time: each holds a file open, and 1024 is a common limit
MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _map(folder: Path, shard: int) -> memoryview:
    path = folder / f"{shard:05d}.tar"
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}); {REPAIR}") from error
    except ValueError as error:  # mmap's word for a file of 0 bytes
        raise ValueError(f"{path} is empty; {REPAIR}") from error


class Shards:
    """One split of a shard folder: `ids`, `names`, `size`, `columns`; their values by index.

    `kind` is that of the data set (corpus/kinds; empty if its index was written before there were
    kinds), `names` its classes. Pickles as its arguments.

    Of squares decoded pixels stay in memory if all of them fit into `cache_mb`; `threads` (default:
    by size) decode side by side. Else an image costs memory for its place (16 bytes) and its
    targets only, a video for the ends of its frames too: ids are read when first asked for.
    """

    def __init__(self, folder: Path, split: str, cache_mb: int = 512, threads: int | None = None):
        self.folder, self.split, self.cache_mb = Path(folder), split, cache_mb
        where = ["shard", "offset", "size"]
        about, table = read_index(self.folder / INDEX, split, where, ["targets"])
        self.names: list[str] = about["names"]
        self.size: int = about["size"]
        self.kind: str = about.get("kind", "")
        # time slots to a second, of videos
        self.frame_rate: float | None = about.get("frame_rate")
        self._about = about
        self.threads = threads or (min(4, len(os.sched_getaffinity(0))) if self.size >= 64 else 1)
        self._lists = {}
        if "targets" in table.column_names:
            self._lists["targets"] = Lists(table["targets"].combine_chunks())
        self._where = [table[name].to_numpy() for name in where]
        # where the files cannot stay in memory, a batch is asked for whole before its first image
        # is waited for
        self._ahead = 2 * int(self._where[2].sum(dtype=np.int64)) > MEMORY
        self._map = lru_cache(MAPS)(partial(_map, self.folder))
        self._pool = self._pid = self._pixels = self._filled = None

    def __reduce__(self) -> tuple:
        return Shards, (self.folder, self.split, self.cache_mb, self.threads)

    def __len__(self) -> int:
        return len(self._where[0])

    @property
    def targets(self) -> Lists:
        """The class indices of each image, of a kind that has classes."""
        return self.lists("targets")

    def lists(self, column: str) -> Lists | Blobs:
        """The values of each image in a list column of the index, read when first asked for."""
        if column not in self._lists:
            table = read_index(self.folder / INDEX, self.split, [column])[1]
            self._lists[column] = lists_of(table[column])
        return self._lists[column]

    @cached_property
    def columns(self) -> dict[str, dict[str, Any]]:
        """What can be read: name -> stored form (`read`) and the keys of that reader."""
        named = self._about.get("columns")
        return complete_columns(named) if named else derived_columns(self.targets.width == 1)

    @property
    def classes(self) -> list[str]:
        """The names of the target column: of classes in the order of their numbers."""
        return self.names

    def read(
        self,
        indices: Sequence[int] | np.ndarray | torch.Tensor,
        column: str,
        draws: Any = None,
        **options: Any,
    ) -> Column:
        """The values of a column, a row per index: a tensor, or a list where rows differ in size.

        `draws`, the random numbers of a step (models.blocks.augment.draws.Draws), is for forms that
        draw what they read; `options` are those of the form. ValueError lists the columns there
        are, and names what is damaged.
        """
        if column not in self.columns:
            raise ValueError(
                f"{self.folder} has no column {column!r}, only {', '.join(self.columns)}: read one "
                "of them, or name another data set"
            )
        indices = np.asarray(indices, dtype=np.int64)
        return read_column(self, column, indices, draws, options)

    @cached_property
    def ids(self) -> Ids:
        """The id of each image."""
        return Ids(read_index(self.folder / INDEX, self.split, ["id"])[1]["id"])

    def jpeg(self, index: int) -> bytes:
        """The encoded image."""
        shard, offset, size = (column[index].item() for column in self._where)
        return bytes(self._map(shard)[offset : offset + size])

    def _ask(self, indices: np.ndarray, starts: np.ndarray | int, ends: np.ndarray) -> None:
        """Has the kernel load these bytes of each image or video without waiting for them."""
        shards, offsets = self._where[0][indices], self._where[1][indices]
        places = shards, offsets + starts, offsets + ends
        for shard, first, last in zip(*(column.tolist() for column in places), strict=True):
            start = first - first % mmap.PAGESIZE
            self._map(shard).obj.madvise(mmap.MADV_WILLNEED, start, last - start)

    def _decode(self, pixels: np.ndarray, indices: np.ndarray, rows: np.ndarray) -> None:
        """Fills these rows of `pixels` with `indices[rows]`, straight from the mapped files."""
        indices = indices[rows]
        places = [column[indices].tolist() for column in self._where]
        each = zip(rows.tolist(), indices.tolist(), *places, strict=True)
        for row, index, shard, offset, size in each:
            data = self._map(shard)[offset : offset + size]
            try:
                shape = decode(data, pixels[row]).shape
            except ValueError as error:
                shape = error
            if shape != pixels.shape[1:]:
                raise ValueError(
                    f"image {self.ids[index]!r} in {self.folder} is damaged ({shape}); {REPAIR}"
                )

    def _read(self, indices: np.ndarray) -> np.ndarray:
        pixels = np.empty((len(indices), self.size, self.size, 3), np.uint8)
        self._in_parts(partial(self._decode, pixels, indices), indices)
        return pixels

    def _in_parts(
        self,
        decode_rows: Callable[[np.ndarray], None],
        indices: np.ndarray,
        parts: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """Has all rows of `indices` decoded, part by part.

        parts: starts and ends (n, m) of what is read of each, where that is not all of it.
        """
        rows = np.argsort(indices)  # in the order of the files, which a disk reads faster
        if self._ahead and parts is None:
            self._ask(indices[rows], 0, self._where[2][indices[rows]])
        elif self._ahead:
            starts, ends = (places[rows].ravel() for places in parts)
            self._ask(np.repeat(indices[rows], parts[0].shape[1]), starts, ends)
        if self.threads == 1:
            decode_rows(rows)
            return
        if self._pid != os.getpid():  # threads do not survive a fork
            self._pool, self._pid = ThreadPoolExecutor(self.threads), os.getpid()
        parts = np.array_split(rows, self.threads)
        list(self._pool.map(decode_rows, parts))  # raises what they do

    def pictures(self, indices: Sequence[int] | np.ndarray | torch.Tensor) -> list[torch.Tensor]:
        """Pixels as uint8 (h, w, 3) of each, of images that keep their aspect.

        None stays in memory.
        """
        self._refuse_videos()
        indices = np.asarray(indices, dtype=np.int64)
        found: list[Any] = [None] * len(indices)

        def decode_rows(rows: np.ndarray) -> None:
            for row in rows.tolist():
                try:
                    found[row] = torch.from_numpy(decode(self.jpeg(int(indices[row]))))
                except ValueError as error:
                    key = self.ids[int(indices[row])]
                    raise ValueError(
                        f"image {key!r} in {self.folder} is damaged ({error}); {REPAIR}"
                    ) from error

        self._in_parts(decode_rows, indices)
        return found

    def frames(
        self, indices: np.ndarray, starts: np.ndarray, ends: np.ndarray
    ) -> list[torch.Tensor]:
        """Pixels as uint8 (m, h, w, 3) of each video: m of its frames, and no other is decoded.

        indices: int64 (n,); starts, ends: int64 (n, m), where each frame lies in the video's bytes.
        None stays in memory. ValueError names a video that is damaged.
        """
        found: list[Any] = [None] * len(indices)
        shards, offsets, sizes = (column[indices].tolist() for column in self._where)
        outside = ((starts >= ends) | (ends > self._where[2][indices][:, None])).any(1).tolist()

        def decode_rows(rows: np.ndarray) -> None:
            for row in rows.tolist():
                video = self._map(shards[row])[offsets[row] : offsets[row] + sizes[row]]
                try:
                    if outside[row]:
                        raise ValueError("frames end outside of it")
                    pixels = decode_frames(video, starts[row].tolist(), ends[row].tolist())
                except ValueError as error:
                    key = self.ids[int(indices[row])]
                    raise ValueError(
                        f"video {key!r} in {self.folder} is damaged ({error}); {REPAIR}"
                    ) from error
                found[row] = torch.from_numpy(pixels)

        self._in_parts(decode_rows, indices, (starts, ends))
        return found

    @cached_property
    def videos(self) -> bool:
        """Whether it holds videos, of which clips are read, and no images."""
        columns = self._about.get("columns", {}).values()
        return any(column["read"] == "clip" for column in columns)

    def _refuse_videos(self) -> None:
        if self.videos:
            raise ValueError(
                f"{self.folder} holds videos and no images: read the column `clip`, by an "
                "objective that takes clips, or name a data set of images"
            )

    def images(self, indices: Sequence[int] | np.ndarray | torch.Tensor) -> torch.Tensor:
        """Pixels as uint8 (n, size, size, 3); ValueError where images keep their aspect."""
        self._refuse_videos()
        indices = np.asarray(indices, dtype=np.int64)
        if self._about.get("columns", {}).get("image", {}).get("read") == "picture":
            raise ValueError(
                f"images of {self.folder} keep their aspect, and are no tensor of one size: read "
                "the column `image`, or name a data set of squares"
            )
        if self._pixels is None and len(self) * self.size**2 * 3 <= self.cache_mb << 20:
            self._pixels = np.empty((len(self), self.size, self.size, 3), np.uint8)
            self._filled = np.zeros(len(self), bool)
        if self._pixels is None:
            return torch.from_numpy(self._read(indices))
        missing = np.unique(indices[~self._filled[indices]])
        if len(missing):
            self._pixels[missing] = self._read(missing)
            self._filled[missing] = True
        return torch.from_numpy(self._pixels[indices])

    def multi_hot(self, indices: Sequence[int] | np.ndarray | torch.Tensor) -> torch.Tensor:
        """float32 (n, names): 1 at each target of each image."""
        return multi_hot(self.targets, np.asarray(indices, dtype=np.int64), len(self.names))

    def labels(self, indices: Sequence[int] | np.ndarray | torch.Tensor) -> torch.Tensor:
        """int64 (n,): the class of each image.

        ValueError unless every image of the split has exactly one.
        """
        if self.targets.width != 1:
            cure = "use multi_hot, or a folder under targets/"
            raise ValueError(f"{self.folder} has images of several tags; {cure}")
        return class_of(self.targets, np.asarray(indices, dtype=np.int64))
