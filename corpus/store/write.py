"""Writing the data store: append-only shards, replaced or extended as a whole.

The same input gives the same bytes.
"""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path
from typing import IO, TextIO

from corpus.checksums import file_sha256
from corpus.records.record import Record, json_line
from corpus.store.read import STORE, Shard, total

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """An empty sibling to write into.

    It takes the place of `folder` only if the block ends well.
    """
    recover(folder)
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        swap(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _older(folder: Path) -> Path:
    """Where the folder that is replaced stands in the meantime."""
    # else siblings' names would be those of its parent
    assert folder.name not in ("", ".."), folder
    return folder.with_name(f".{folder.name}.old")


def recover(folder: Path) -> None:
    """Ends a `swap` that was killed.

    Before its second step the older folder is taken back; else it is removed.
    """
    old = _older(folder)
    if old.is_dir() and not folder.exists():
        old.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def swap(part: Path, folder: Path) -> None:
    """Puts the finished folder `part` in the place of `folder`."""
    old = _older(folder)
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    part.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other writers out of `folder`; ValueError if one is at work.

    The lock ends with its process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ValueError(
            f"another process is writing to {folder}; wait until it ends, then run this again"
        ) from None
    finally:
        os.close(handle)


@contextmanager
def bounded_disk(part: Path) -> Iterator[None]:
    """A full disk is told, as ValueError, with what to do."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        if isinstance(error, OSError) and error.errno not in FULL:
            raise
        if isinstance(error, sqlite3.OperationalError) and "full" not in str(error):
            raise
        raise ValueError(
            f"the disk is full while writing to {part}: free some space and run the same import "
            "again, it goes on from its last finished shard; the store itself has not been changed"
        ) from None


def add_member(tar: tarfile.TarFile, name: str, data: bytes) -> int:
    """Appends one file to a tar, the same bytes for the same input.

    Returns the offset of its first byte.
    """
    return add_file(tar, name, BytesIO(data), len(data))


def add_file(tar: tarfile.TarFile, name: str, file: IO[bytes], size: int) -> int:
    """As `add_member`, of the next `size` bytes of an open file."""
    info = tarfile.TarInfo(name)  # its defaults: mtime 0, uid 0, no names, mode 0644
    info.size = size
    offset = tar.offset + tarfile.BLOCKSIZE
    tar.addfile(info, file)
    return offset


def record_digest(record: Record, sha256: str) -> int:
    """SHA-256 of what was posted: the record without its place in the store, its image's SHA."""
    text = json_line(record.model_dump(exclude={"image"}) | {"sha256": sha256})
    return int.from_bytes(hashlib.sha256(text.encode()).digest())


class StoreWriter:
    """Appends (record, image) pairs to the shards of `folder`; `shards` lists the finished ones."""

    def __init__(self, folder: Path, shards: Iterable[Shard] = (), shard_bytes: int = 64 << 20):
        self.folder, self.shards, self.shard_bytes = folder, list(shards), shard_bytes
        self._tar: tarfile.TarFile | None = None
        self._lines: TextIO
        self._count = self._digest = 0

    def add(self, record: Record, image: bytes) -> None:
        """Writes one pair; the record may name any member, it must be unique in its shard."""
        if self._tar is None:
            path = self.folder / f"{len(self.shards):05d}"
            tar = path.with_suffix(".tar")
            self._tar = tarfile.open(tar, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
            self._lines = path.with_suffix(".jsonl").open("w", encoding="utf-8", newline="\n")
            self._count = self._digest = 0
        offset = add_member(self._tar, record.image, image)
        place = {"offset": offset, "size": len(image), "sha256": hashlib.sha256(image).hexdigest()}
        self._lines.write(json_line(record.model_dump() | place))
        self._count += 1
        self._digest += record_digest(record, place["sha256"])

    @property
    def full(self) -> bool:
        """Whether the shard at work has its size."""
        return self._tar is not None and self._tar.offset >= self.shard_bytes

    def finish(self) -> Shard | None:
        """Ends the shard at work, if any, on disk."""
        if self._tar is None:
            return None
        self.close()
        paths = [self.folder / f"{len(self.shards):05d}.{kind}" for kind in ("tar", "jsonl")]
        for path in paths:
            with path.open("rb") as file:
                os.fsync(file.fileno())
        tar, lines = map(file_sha256, paths)
        digest = f"{self._digest % 2**256:064x}"
        shard = Shard(name=paths[0].stem, records=self._count, tar=tar, lines=lines, digest=digest)
        self.shards.append(shard)
        return shard

    def close(self) -> None:
        """Closes the files; what is not finished is void."""
        if self._tar is not None:
            self._tar.close()
            self._lines.close()
            self._tar = None


def write_list(folder: Path, shards: list[Shard], kind: str = "") -> str:
    """Writes store.json, which makes these shards the store, in one step; returns the digest.

    `kind`: of its records, where its name does not say that.
    """
    digest = total(shards)
    about = {"kind": kind} if kind else {}
    about |= {"digest": digest, "records": sum(shard.records for shard in shards)}
    about |= {"shards": [shard.model_dump() for shard in shards]}
    part = folder / f".{STORE}.part"
    part.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    part.replace(folder / STORE)
    return digest


def write_store(
    folder: Path,
    records: Iterable[tuple[Record, bytes]],
    shard_bytes: int = 64 << 20,
    kind: str = "",
) -> int:
    """Writes (record, image) pairs in their order as the store `folder`, replacing an older one.

    `kind`: as of `write_list`. Returns their number.

    Other files of an older store (synonyms.tsv) stay. ValueError for a repeated id.
    """
    ids: set[str] = set()
    with replacing(folder) as part:
        with closing(StoreWriter(part, shard_bytes=shard_bytes)) as writer:
            for record, data in records:
                if record.id in ids:
                    raise ValueError(f"id {record.id!r} occurs twice; give every record its own id")
                ids.add(record.id)
                writer.add(record, data)
                if writer.full:
                    writer.finish()
            writer.finish()
            write_list(part, writer.shards, kind)
        keep_extras(folder, part)
    return len(ids)


def keep_extras(folder: Path, part: Path) -> None:
    """Copies what is neither shard nor list (synonyms.tsv) from an older store to its successor."""
    for extra in folder.glob("*"):
        if extra.is_file() and extra.name != STORE and extra.suffix not in (".tar", ".jsonl"):
            shutil.copy2(extra, part)
