"""Which tar shards a source names - a file, a folder, a pattern, s3:// - each as a local, unpacked file."""

import fnmatch
import glob
import gzip
import hashlib
import itertools
import re
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TypeVar

from corpus.sources import s3
from corpus.sources.downloads import download
from corpus.sources.rows import Progress, Refused, Row, refused
from corpus.sources.tars import shard_rows

ENDINGS = (".tar", ".tar.gz", ".tgz")
BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
MAX_UNPACKED = 100  # times the packed size; images hardly shrink
CHUNK = 1 << 20
T = TypeVar("T")


def is_archive(url: str | Path) -> bool:
    """Whether the name is one of tar shards: its ending, or a pattern."""
    return str(url).lower().endswith(ENDINGS)


def expanded(pattern: str) -> Iterator[str]:
    """`a{00..02}` and `{a,b}` written out, one after the other, as a shell does."""
    match = BRACES.search(pattern)
    if not match:
        yield pattern
        return
    first, last, words = match.groups()
    if words is None:
        step = 1 if int(first) <= int(last) else -1
        parts = (f"{number:0{len(first)}d}" for number in range(int(first), int(last) + step, step))
    else:
        parts = iter(words.split(","))
    for part in parts:
        yield from expanded(pattern[: match.start()] + part + pattern[match.end() :])


def _remote(url: str) -> Iterator[str]:
    """Addresses of the shards that one s3:// address without braces names: an object, a pattern, or a prefix."""
    fixed = re.split(r"[*?\[]", url)[0]
    if fixed == url and is_archive(url):
        yield url
        return
    pattern = url if fixed != url else f"{glob.escape(url.rstrip('/'))}/*"
    for found in s3.keys(fixed if fixed != url else f"{url.rstrip('/')}/"):
        if is_archive(found) and found.count("/") == pattern.count("/") and fnmatch.fnmatchcase(found, pattern):
            yield found


def _local(name: str) -> Iterator[Path]:
    path = Path(name)
    if path.is_dir():
        yield from sorted(file for file in path.iterdir() if is_archive(file))
    elif path.exists():
        yield path
    else:
        yield from map(Path, sorted(glob.glob(name)))  # noqa: PTH207 (it may be absolute)


def _downloaded(url: str, spool: Path, progress: Progress | None) -> Path:
    try:
        return download(url, spool, progress)
    except FileNotFoundError:
        raise ValueError(f"shard {url} is not found; check the pattern, or take it out") from None


def _named(name: str, spool: Path, progress: Progress | None) -> Iterator[tuple[str, Path]]:
    """(name, local file) of the shards that one name without braces stands for."""
    if name.startswith("s3://"):
        yield from ((PurePosixPath(url).name, _downloaded(url, spool, progress)) for url in _remote(name))
    else:
        yield from ((path.name, path) for path in _local(name))


def shards(source: str, spool: Path, progress: Progress | None = None) -> Iterator[tuple[str, Path]]:
    """(name, local file) of each shard; ValueError where a name stands for none, before anything is read if local."""
    for name in expanded(source):
        if not name.startswith("s3://"):
            _check(name, _local(name))
    for name in expanded(source):
        found = _named(name, spool, progress)
        first = _check(name, found)
        yield from itertools.chain([first], found)


def _check(name: str, found: Iterator[T]) -> T:
    """The first of the shards; ValueError if there is none."""
    first = next(found, None)
    if first is None:
        raise ValueError(f"there is no shard {name}; check the path or the pattern ({', '.join(ENDINGS)})")
    return first


def _unpacked(packed: Path, spool: Path) -> Path:
    """The tar in a .gz; of a file that is cut off what is there. Refused if it unpacks to out of proportion."""
    facts = packed.stat()
    digest = hashlib.sha256(f"{packed.resolve()} {facts.st_size} {facts.st_mtime_ns}".encode()).hexdigest()[:16]
    target = spool / f"{digest}-unpacked.tar"
    if target.is_file():
        return target
    part = target.with_suffix(".part")
    try:
        spool.mkdir(parents=True, exist_ok=True)
        with gzip.open(packed) as source, part.open("wb") as file:
            while data := _chunk(source):
                file.write(data)
                if file.tell() > MAX_UNPACKED * facts.st_size:
                    raise Refused(f"unpacks to more than {MAX_UNPACKED} times its size")
    except OSError as error:
        raise ValueError(f"{packed} cannot be unpacked to {spool}: {error.strerror}; make room there") from None
    part.rename(target)
    return target


def _chunk(file: gzip.GzipFile) -> bytes:
    try:
        return file.read1(CHUNK)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return b""  # the tar then lacks its end mark, which is told


def _tar(path: Path, spool: Path) -> Path:
    """The shard, unpacked where it must be; Refused if it is no file, or packed in another way."""
    if not path.is_file():  # opening a FIFO would wait for ever
        raise Refused("no file")
    try:
        with path.open("rb") as file:
            start = file.read(6)
    except OSError as error:
        raise Refused(f"cannot be read: {error.strerror}") from None
    packing = next((packing for sign, packing in PACKED.items() if start.startswith(sign)), None)
    if packing not in (None, "gzip"):
        raise Refused(f"packed with {packing}; unpack it, or pack it with gzip")
    return _unpacked(path, spool) if packing else path


def archive_rows(source: str, kind: str, spool: Path, progress: Progress | None = None) -> Iterator[Row]:
    """The rows of all shards; one that is no tar is one refused row."""
    for name, path in shards(source, spool, progress):
        try:
            tar = _tar(path, spool)
        except Refused as error:
            yield refused(name, str(error), name)
        else:
            yield from shard_rows(tar, name, kind)
