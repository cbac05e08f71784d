"""What the stage corpus knows of all images or videos of a store, to compare and to show them."""

from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpus.media.decoding import decode
from corpus.media.kept import centre
from corpus.store.read import Shard

CODES = 64  # frames of a video at most that have a fingerprint: one a second, or fewer
LOOKED = ["offset", "size", "sha256", "code", "codes", "apart"]


class SquareShard(NamedTuple):
    """A square shard: `images.tar`, and a row per image of the store's shard in index.parquet."""

    shard: Shard
    folder: Path

    @property
    def tar(self) -> Path:
        """The square JPEGs."""
        return self.folder / "images.tar"

    def table(self, columns: list[str] | None = None) -> pa.Table:
        """offset, size, sha256, code, reason (empty, or why there is no square) of each image of
        the shard; width and height of the original where the aspect is kept; of videos what
        corpus.store.frames has. `columns`: those of these that there are.
        """
        path = self.folder / "index.parquet"
        if columns is None:
            return pq.read_table(path)
        there = pq.read_schema(path).names
        return pq.read_table(path, columns=[name for name in columns if name in there])

    @property
    def moving(self) -> bool:
        """Whether it is of videos."""
        return "frame_ends" in pq.read_schema(self.folder / "index.parquet").names


def code_slots(slots: int, rate: int) -> np.ndarray:
    """The slots of a video that have a fingerprint, int64 (k,): one a second, at most CODES.

    Of a longer video one in 2, 4, 8 ... seconds: those of a shorter copy are among the same.
    """
    return np.arange(0, slots, rate * seconds_apart(slots, rate))


def seconds_apart(slots: int, rate: int) -> int:
    """Seconds from one of them to the next."""
    apart = 1
    while slots > CODES * apart * rate:
        apart *= 2
    return apart


def frame_bounds(ends: np.ndarray, slot: int) -> tuple[int, int]:
    """First byte and end of the frame that a slot shows; ends: of all slots, int (slots,)."""
    end = ends[slot]
    place = np.searchsorted(ends, end)  # the first slot that shows it
    return int(ends[place - 1]) if place else 0, int(end)


def _fixed(column: pa.ChunkedArray) -> np.ndarray:
    """The bytes of a column of fixed-size binary values, one after the other, uint8."""
    width = column.type.byte_width
    parts = [
        np.frombuffer(c.buffers()[1], np.uint8, len(c) * width, c.offset * width)
        for c in column.chunks
        if len(c)
    ]
    return np.concatenate([np.empty(0, np.uint8), *parts])


class Side:
    """All images of a store for the search of duplicates: digests uint8 (n, 32), codes uint64
    (n, 2), pixels by row.

    Of videos the frame in the middle stands for each, and `frames` has codes uint64 (m, 2) of
    their frames, the places (n,) where in them each video ends, and the seconds (n,) from one frame
    of it to the next; of images it is None.
    """

    def __init__(self, squares: list[SquareShard], size: int, frame_rate: int = 30):
        self.size, self.frame_rate, self._squares = size, frame_rate, squares
        tables = [one.table(LOOKED) for one in squares]
        table = pa.concat_tables(tables) if tables else _EMPTY
        self.digests = _fixed(table["sha256"]).reshape(-1, 32)
        self.codes = _fixed(table["code"]).view(np.uint64).reshape(-1, 2)
        self.usable = np.flatnonzero(table["size"].to_numpy() > 0)
        self._where = np.stack([table["offset"].to_numpy(), table["size"].to_numpy()], 1)
        counts = [len(one) for one in tables]
        self._shard = np.repeat(np.arange(len(tables)), counts)
        self._first = np.cumsum([0, *counts])
        self._ends = lru_cache(2)(partial(_ends_of, squares))
        self.frames: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        if "codes" in table.column_names:
            codes = b"".join(table["codes"].to_pylist())
            lengths = [len(each) for each in table["codes"].to_pylist()]
            found = np.frombuffer(codes, np.uint64).reshape(-1, 2)
            ends = np.cumsum(lengths, dtype=np.int64) // 16
            self.frames = found, ends, table["apart"].to_numpy().astype(np.int64)

    def jpeg(self, row: int) -> bytes:
        """The JPEG of one usable row; of a video the frame in the middle."""
        if self.frames is None:
            return self._read(row, 0, int(self._where[row, 1]))
        ends = self._slots(row)
        return self._read(row, *frame_bounds(ends, len(ends) // 2))

    def film(self, row: int) -> tuple[bytes, np.ndarray]:
        """The JPEG frames of a usable row of videos, and where the frame of each slot ends."""
        return self._read(row, 0, int(self._where[row, 1])), self._slots(row)

    def _slots(self, row: int) -> np.ndarray:
        """Where the frame of each slot of a video ends."""
        shard = self._shard[row]
        return self._ends(int(shard))[int(row - self._first[shard])].values.to_numpy()

    def _read(self, row: int, start: int, end: int) -> bytes:
        with self._squares[self._shard[row]].tar.open("rb") as file:
            file.seek(int(self._where[row, 0]) + start)
            return file.read(end - start)

    def pixels(self, rows: np.ndarray) -> np.ndarray:
        """uint8 (n, size, size, 3) of usable rows: of images that keep their aspect, the centre."""
        return np.stack([centre(decode(self.jpeg(row)), self.size) for row in rows.tolist()])

    def frame_pixels(self, rows: np.ndarray, places: np.ndarray) -> np.ndarray:
        """uint8 (n, size, size, 3): of each video the centre of the frame that has its code at
        this place among those of the video.
        """
        found = []
        for row, place in zip(rows.tolist(), places.tolist(), strict=True):
            ends = self._slots(row)
            bounds = frame_bounds(ends, int(code_slots(len(ends), self.frame_rate)[place]))
            found.append(centre(decode(self._read(row, *bounds)), self.size))
        return np.stack(found)


_EMPTY = pa.schema(
    {
        "offset": pa.int64(),
        "size": pa.int32(),
        "sha256": pa.binary(32),
        "code": pa.binary(16),
    }
).empty_table()


def _ends_of(squares: list[SquareShard], shard: int) -> pa.ChunkedArray:
    return squares[shard].table(["frame_ends"])["frame_ends"]
