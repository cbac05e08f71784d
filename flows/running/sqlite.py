"""SQLite files that a library makes: whole or not at all, and what ails one said in plain words.

A library makes its tables step by step, for seconds. A process that is killed meanwhile leaves a
file that neither it nor the next one can use, so here the tables are made in a file beside it.
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

DAMAGED = ("malformed", "not a database")  # SQLite's words for SQLITE_CORRUPT and SQLITE_NOTADB
QUIET = 5.0  # seconds without a change after which nobody is at work on an unfinished file
PARTIAL, ASIDE = ".partial", ".unfinished"


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time; the lock is the folder's own, so that no file of it is left over."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _remove(file: Path) -> None:
    for part in ("", "-journal", "-wal", "-shm"):
        file.with_name(file.name + part).unlink(missing_ok=True)


def create_whole(file: Path, make: Callable[[Path], None]) -> None:
    """Have `make(partial)` make a file that is not there (or empty), and name it when whole.

    Of several processes at once one makes it and the others take what it made. `make` must have
    closed the file when it returns. OSError where the folder cannot be written to.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with _locked(file.parent):
        if file.exists() and file.stat().st_size:
            return
        partial = file.with_name(file.name + PARTIAL)
        _remove(partial)  # of a process that was killed
        partial.touch()  # a folder that is read-only is told by its name, as the system tells it
        make(partial)
        partial.rename(file)


def query_rows(file: Path, query: str, *values: Any, wait: float = 1.0) -> list[tuple[Any, ...]]:
    """What a query gives; sqlite3.OperationalError when the file stays locked for `wait` seconds.

    It also rolls back what a killed process has left half done, as any reader of the file must.
    """
    with closing(connect_file(file, wait)) as base:
        return base.execute(query, values).fetchall()


def connect_file(file: Path, wait: float) -> sqlite3.Connection:
    """A connection to a file that must be there; transactions begin by `BEGIN` only."""
    address = f"file:{quote(str(file.absolute()))}?mode=rw"
    # isolation_level None: else Python begins transactions too, and as a reader
    return sqlite3.connect(address, timeout=wait, isolation_level=None, uri=True)


def check_readable(file: Path, what: str) -> None:
    """ValueError, with the way out, where the file is a folder or damaged; it is never changed.

    sqlite3.OperationalError where it is locked. Damage deep inside a file shows when it is read.
    """
    if file.is_dir():
        raise ValueError(f"{file} is a folder, and {what} must be a file there: move it aside")
    try:
        query_rows(file, "SELECT count(*) FROM sqlite_master")
    except sqlite3.DatabaseError as error:
        told = damage_of(error, f"{file}, {what},")
        if told:
            raise ValueError(told) from None
        raise


def damage_of(error: BaseException, what: str) -> str | None:
    """The message for an error that tells of a damaged file; None for any other error."""
    if isinstance(error, ValueError) or not any(word in str(error) for word in DAMAGED):
        return None  # a ValueError has said so already
    cause = next(word for word in DAMAGED if word in str(error))
    return (
        f"{what} is damaged (SQLite says: {cause}); nothing in it was changed: put a backup in its "
        "place, or move it aside (mv FILE FILE.damaged), and the next run begins a new one"
    )


def put_aside_unfinished(file: Path, unfinished: Callable[[Path], bool]) -> Path | None:
    """Rename a file that stays unfinished, and say under what name; None where all is well.

    Another program may be at work on it just now: that is so while it changes, or is locked
    (sqlite3.OperationalError).
    """
    while unfinished(file):
        with _locked(file.parent):  # of two processes that see it one renames it
            if unfinished(file) and time.time() - file.stat().st_mtime > QUIET:
                aside = file.with_name(file.name + ASIDE)
                _remove(aside)  # nothing was ever in one
                file.rename(aside)
                # SQLite would play a journal that is left into the next file of this name
                file.with_name(file.name + "-journal").unlink(missing_ok=True)
                return aside
        time.sleep(0.2)
    return None
