"""Metrics that MLflow has not taken yet, in memory and in a file: a killed process loses none.

One file for each run and process: lines of JSON, appended without fsync (it outlives the process,
not the machine). Its process holds a lock on it, which the kernel drops when the process ends:
whoever opens the run next adopts it.
"""

import contextlib
import fcntl
import json
import uuid
from collections import deque
from itertools import islice
from pathlib import Path
from typing import IO

# key, value, time stamp in ms, step: as mlflow.entities.Metric takes them
Value = tuple[str, float, int, int]


def _unclaimed(path: Path) -> IO[bytes] | None:
    """The file, locked, unless its process is alive or it has gone meanwhile."""
    try:
        file = path.open("rb+")
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


class MetricSpool:
    """The values of one run on their way. Not safe for threads: the sender has a lock."""

    def __init__(self, folder: Path, run: str) -> None:
        self._folder, self._run = folder.absolute(), run
        self._values: deque[Value] = deque()
        # locked; of this process and of those adopted
        self._files: list[tuple[Path, IO[bytes]]] = []
        self._own: IO[bytes] | None = None

    def __len__(self) -> int:
        return len(self._values)

    def append(self, values: list[Value]) -> None:
        """Add values; OSError when the file does not take them, which are then in memory only."""
        self._values += values
        if self._own is None:
            self._own = self._created()
        self._own.write(json.dumps(values).encode() + b"\n")

    def first(self, count: int) -> list[Value]:
        """The oldest values."""
        return list(islice(self._values, count))

    def taken(self, count: int) -> None:
        """Forget the oldest values, and the files with the last of them."""
        for _ in range(count):
            self._values.popleft()
        if not self._values:
            for path, file in self._files:
                with contextlib.suppress(OSError):  # what is sent once more is not stored once more
                    path.unlink()
                file.close()
            self._files, self._own = [], None

    def adopt(self) -> None:
        """Take over the files that processes left behind which are no more."""
        for path in self._folder.glob(f"{self._run}.*.jsonl"):
            file = _unclaimed(path)
            if file:
                self._files.append((path, file))
                for line in file:
                    # the last line of a process that was killed as it wrote
                    with contextlib.suppress(ValueError):
                        self._values += map(tuple, json.loads(line))
        # files in which no line was whole go at once
        self.taken(0)

    def _created(self) -> IO[bytes]:
        """A new file, locked before it has the name under which others would adopt it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self._folder / f"{self._run}.{uuid.uuid4().hex}.partial"
        # unbuffered: a kill takes what a buffer holds
        file = partial.open("ab", buffering=0)
        fcntl.flock(file, fcntl.LOCK_EX)
        self._files.append((partial.rename(partial.with_suffix(".jsonl")), file))
        return file
