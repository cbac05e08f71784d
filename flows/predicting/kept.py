"""What has been predicted so far, in a file that only grows by whole batches.

A killed command goes on from it: what it cut short at the end is taken away. Nobody else reads the
file; only when all is there, the table that was asked for is written from it (results.py).
"""

import fcntl
import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import pyarrow as pa

FRAME = struct.Struct("<QI")  # bytes and CRC-32 of the batch that follows
LARGEST = 1 << 32  # bytes of a batch; more is a damaged frame


class Kept:
    """The rows of a command in a file; one process at a time.

    about: what the rows depend on. Those of a file with another are dropped.
    """

    def __init__(self, path: Path, schema: "pa.Schema", about: dict[str, Any]) -> None:
        """ValueError where another process is at work on the file."""
        self.path, self.schema = path, schema
        self.head = json.dumps(about, sort_keys=True).encode() + b"\n"
        path.parent.mkdir(parents=True, exist_ok=True)
        # never truncated before the lock is held
        self.file: BinaryIO = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.file.close()
            raise ValueError(
                f"another command is writing {path}: wait for it, or take another --out"
            ) from None
        if self.file.readline() != self.head:
            self._cut(0)
            self.file.write(self.head)
            self.file.flush()

    def __enter__(self) -> "Kept":
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()

    def _cut(self, at: int) -> None:
        self.file.seek(at)
        self.file.truncate()

    def batches(self) -> Iterator[tuple["pa.RecordBatch", int]]:
        """(batch, the place in the file where it begins) of the whole batches, in order.

        What is not whole at the end is cut off.
        """
        at = len(self.head)
        while True:
            self.file.seek(at)
            found = self._next()
            if found is None:
                self._cut(at)
                return
            batch, size = found
            yield batch, at
            at += size

    def _next(self) -> tuple["pa.RecordBatch", int] | None:
        import pyarrow as pa

        head = self.file.read(FRAME.size)
        if len(head) < FRAME.size:
            return None
        size, checksum = FRAME.unpack(head)
        data = self.file.read(size) if size <= LARGEST else b""
        if len(data) != size or zlib.crc32(data) != checksum:
            return None
        return pa.ipc.read_record_batch(pa.py_buffer(data), self.schema), FRAME.size + size

    def forget_from(self, at: int) -> None:
        """Drop the batches from a place on."""
        self._cut(at)

    def append(self, batch: "pa.RecordBatch") -> None:
        """Write a batch behind the others."""
        data = memoryview(batch.serialize())
        self.file.seek(0, os.SEEK_END)
        self.file.write(FRAME.pack(len(data), zlib.crc32(data)))
        self.file.write(data)
        # so that a kill costs the present batch at most
        self.file.flush()

    def remove(self) -> None:
        """Remove the file: what it held is in its place."""
        self.path.unlink(missing_ok=True)
