"""Large s3:// objects into local files, in parts and in parallel.

A run that was killed goes on from its parts.

Beside the growing file lies its record: the object's ETag and size, then a line for every part that
is on disk. If the object has changed since, the download starts anew. The whole is checked by size,
and by MD5 where the ETag is one (neither of a multi-part upload nor encrypted with a key of KMS or
the customer's).
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import closing
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from corpus.progress import Progress
from corpus.sources import s3

PART = 16 << 20
THREADS = 4
RESTARTS = 3  # of an object that changes, or arrives damaged, while it is downloaded


class Target(NamedTuple):
    """A download under way."""

    url: str
    file: Path  # where the whole will be; until then `.part` and `.parts` are appended
    etag: str
    size: int
    md5: str | None

    @property
    def part(self) -> Path:
        return self.file.with_name(f"{self.file.name}.part")

    @property
    def record(self) -> Path:
        return self.file.with_name(f"{self.file.name}.parts")

    @property
    def head(self) -> str:
        return json.dumps({"etag": self.etag, "size": self.size, "part": PART})


def _target(url: str, folder: Path) -> Target:
    facts = s3.open_object(url)
    facts["Body"].close()
    etag = facts["ETag"].strip('"')
    secret = facts.get("SSECustomerAlgorithm") or "kms" in facts.get("ServerSideEncryption", "")
    name = re.sub(r"[^\w.-]", "_", PurePosixPath(url).name)[-80:]  # the name of a stranger
    digest = hashlib.sha256(f"{url} {etag} {facts['ContentLength']}".encode()).hexdigest()[:16]
    md5 = etag if re.fullmatch("[0-9a-f]{32}", etag) and not secret else None
    return Target(url, folder / f"{digest}-{name}", facts["ETag"], facts["ContentLength"], md5)


def _done(target: Target) -> set[int]:
    """Numbers of the parts on disk, as the record of this very object says."""
    if not (target.record.is_file() and target.part.is_file()):
        return set()
    head, *lines = target.record.read_text().split("\n")
    return {int(line) for line in lines[:-1] if line.isdigit()} if head == target.head else set()


def _fetch(target: Target, number: int, out: int) -> int:
    """One part into its place of the open file; returns its number."""
    first = number * PART
    last = min(first + PART, target.size) - 1

    def copy() -> None:
        at, body = first, s3.part(target.url, target.etag, first, last)
        with body:
            for data in iter(partial(body.read, s3.CHUNK), b""):
                at += os.pwrite(out, data, at)
        if at != last + 1:
            raise ConnectionError("the part ended early")

    s3.retried(target.url, copy)
    os.fsync(out)  # before the record says that it is there
    return number


def _fetched(target: Target, todo: list[int], out: int) -> Iterator[int]:
    """Numbers of parts as they arrive.

    After a failure those that were under way, then the failure.
    """
    pool, failure = ThreadPoolExecutor(THREADS), None
    try:
        running = {pool.submit(_fetch, target, number, out) for number in todo}
        while running:
            ready, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ready:
                if future.exception() is None:
                    yield future.result()
                failure = failure or future.exception()
            if failure:
                running = {future for future in running if not future.cancel()}
        if failure:
            raise failure
    finally:
        pool.shutdown(
            cancel_futures=True
        )  # waits for those under way: the file is closed after this


def _parts(target: Target, progress: Progress | None) -> None:
    """Brings the parts that lack; what has arrived is recorded whatever happens next."""
    done = _done(target)
    if not done:
        target.record.write_text(target.head + "\n")
        target.part.write_bytes(b"")
    out = os.open(target.part, os.O_RDWR)
    try:
        os.ftruncate(out, target.size)
        todo = [number for number in range(-(-target.size // PART)) if number not in done]
        with target.record.open("a") as record, closing(_fetched(target, todo, out)) as fetched:
            for number in fetched:
                done.add(number)
                record.write(f"{number}\n")
                record.flush()
                if progress:
                    progress(
                        min(len(done) * PART, target.size) >> 20,
                        target.size >> 20,
                        f"MB of {target.file.name}",
                    )
    finally:
        os.close(out)


def _whole(target: Target) -> bool:
    with target.part.open("rb") as file:
        return target.md5 in (None, hashlib.file_digest(file, "md5").hexdigest())


def download(url: str, folder: Path, progress: Progress | None = None) -> Path:
    """The object as a file in `folder`; at once if it is there already and has not changed.

    FileNotFoundError if the object lacks, s3.Unreachable if S3 or the disk fails; what has arrived
    is kept.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for _ in range(RESTARTS):
            target = _target(url, folder)
            if target.file.is_file():
                return target.file
            try:
                _parts(target, progress)
                whole = _whole(target)
            except s3.Changed:
                whole = False
            if whole:
                target.part.rename(target.file)
            target.part.unlink(missing_ok=True)
            target.record.unlink()
            if whole:
                return target.file
    except FileNotFoundError:
        raise
    except OSError as error:
        raise s3.Unreachable(
            f"{url} cannot be written to {folder}: {error.strerror}; make room there"
        ) from None
    raise s3.Unreachable(
        f"{url} changes, or arrives damaged, each time it is read; see who writes it, and run again"
    )
