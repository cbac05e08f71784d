"""SHA-256s of files that must not change: listed when they are written, compared before they are
read.

A file is hashed once and remembered while path, size, time of change and inode are the same. So a
comparison costs a look at each file, and a touched, copied or checked out file is hashed once more.
Bits that decay on a disk change none of the four: `damaged(..., again=True)` finds them.
"""

import fcntl
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from corpus.progress import Progress

CHECKSUMS = "sha256.json"  # beside the files of a folder: their names and SHA-256s
SAVED = 1 << 30  # bytes hashed after which the memory is written, so that a kill costs seconds


class Bad(NamedTuple):
    """A file that is not what was written: the SHA-256 it should have, and what is there."""

    path: Path
    expected: str
    actual: str  # SHA-256, or why there is none

    def __str__(self) -> str:
        return f"{self.path}: expected SHA-256 {self.expected}, found {self.actual}"


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checksums(folder: Path, known: Mapping[str, str]) -> None:
    """Lists the files of a folder in its sha256.json; `known`: SHA-256s that need not be
    reckoned.
    """
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    sums = {name: known.get(name) or file_sha256(folder / name) for name in names}
    (folder / CHECKSUMS).write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")


def read_checksums(folder: Path) -> dict[str, str]:
    """Names and SHA-256s as the folder's sha256.json has them.

    ValueError if it is missing or damaged.
    """
    path = folder / CHECKSUMS
    try:
        return {
            str(name): str(sha256)
            for name, sha256 in json.loads(path.read_text(encoding="utf-8")).items()
        }
    except FileNotFoundError:
        raise ValueError(f"{path} is missing") from None
    except (ValueError, AttributeError):
        raise ValueError(f"{path} is damaged") from None


class Memory:
    """What was hashed before, in a JSON file: path to identity and SHA-256.

    An unreadable one is begun anew.
    """

    def __init__(self, path: Path):
        self.path, self.unsaved = path, 0
        try:
            self._seen = dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            self._seen = {}

    def find(self, path: Path, identity: list[int]) -> str | None:
        """The SHA-256 that this very file had."""
        match self._seen.get(str(path.absolute())):
            case [list() as known, str() as sha256] if known == identity:
                return sha256
        return None

    def put(self, path: Path, identity: list[int], sha256: str) -> None:
        """Remembers a file."""
        self._seen[str(path.absolute())] = [identity, sha256]
        self.unsaved += identity[0]
        if self.unsaved >= SAVED:
            self.save()

    def close(self) -> None:
        """Writes what is new, if anything is."""
        if self.unsaved:
            self.save()

    def save(self) -> None:
        """Writes what is new, in one step; files that are no more are forgotten."""
        self._seen = {name: seen for name, seen in self._seen.items() if Path(name).exists()}
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self._seen), encoding="utf-8")
        part.replace(self.path)
        self.unsaved = 0


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time hashes, and those that waited find it done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _identity(path: Path) -> list[int]:
    facts = path.stat()
    return [facts.st_size, facts.st_mtime_ns, facts.st_ino]


def _known(path: Path, memory: Memory) -> str | None:
    try:
        return memory.find(path, _identity(path))
    except OSError:  # told by who hashes it
        return None


def _hashed(path: Path, memory: Memory) -> str:
    """SHA-256, or in words why there is none."""
    try:
        identity = _identity(path)  # before its bytes: a change in between makes it another file
        sha256 = file_sha256(path)
    except OSError as error:
        return (
            "no file" if isinstance(error, FileNotFoundError) else f"unreadable ({error.strerror})"
        )
    memory.put(path, identity, sha256)
    return sha256


def damaged(
    expected: Iterable[tuple[Path, str]],
    memory: Path,
    progress: Progress | None = None,
    again: bool = False,
) -> list[Bad]:
    """The files whose SHA-256 is another than expected.

    memory: the JSON file that remembers what was hashed. again: hash every file, known or not.
    """
    pairs = list(expected)
    if not again and all(
        _known(path, seen) == sha256 for seen in [Memory(memory)] for path, sha256 in pairs
    ):
        return []
    found = []
    with _alone(memory), closing(Memory(memory)) as seen:
        for done, (path, sha256) in enumerate(pairs, 1):
            actual = (None if again else _known(path, seen)) or _hashed(path, seen)
            if actual != sha256:
                found.append(Bad(path, sha256, actual))
            if progress:
                progress(done, len(pairs), path.name)
    return found
