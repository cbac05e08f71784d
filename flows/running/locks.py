"""A lock that one process at a time holds, and that the system releases when it dies."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def alone(file: Path, otherwise: str) -> Iterator[None]:
    """Inside, no other process is; ValueError, `otherwise`, where one is. Nothing is waited for."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(otherwise) from None
        yield
