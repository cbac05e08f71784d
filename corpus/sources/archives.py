"""Which tar shards a source names, each as a local, unpacked file.

A source is a file, a folder, a pattern, or all of these under s3://. What lies beside the shards of
a folder is counted: sidecars that begin with a shard's name are left alone, the rest is refused.
"""

import gzip
import itertools
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from corpus.progress import Progress
from corpus.sources.downloads import download
from corpus.sources.folders import below
from corpus.sources.patterns import (
    expand_braces,
    fixed_part,
    is_pattern,
    local,
    matching_objects,
    name_within,
)
from corpus.sources.rows import Refused, SourceRow, refused_row
from corpus.sources.splits import split_within
from corpus.sources.spooled import file_key
from corpus.sources.tars import ENDINGS, is_archive, shard_rows

PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
MAX_UNPACKED = 100  # times the packed size; images hardly shrink
CHUNK = 1 << 20
T = TypeVar("T")


def _remote(url: str) -> Iterator[str]:
    """Addresses of the shards that one s3:// address without braces names: one, or several."""
    if fixed_part(url) == url and is_archive(url):
        yield url
    else:
        pattern = url if fixed_part(url) != url else f"{url.rstrip('/')}/*"
        yield from filter(is_archive, matching_objects(pattern))


def _local(name: str) -> Iterator[tuple[str, Path]]:
    """(path, below a folder or as named; local file) of the shards of one name."""
    path = Path(name)
    if path.is_dir():
        yield from ((found, path / found) for found in below(path, Counter()) if is_archive(found))
    else:
        yield from ((str(found), found) for found in map(Path, local(name)))


def _beside(folder: Path, left: Counter[str]) -> Iterator[SourceRow]:
    """What lies beside the shards of a folder, refused or counted as left alone."""
    names = list(below(folder, left))
    stems = {_first_part(name) for name in names if is_archive(name)}
    for name in names:
        if is_archive(name):
            continue
        if _first_part(name) in stems:  # 00000_stats.json, 00000.parquet
            left["file that goes with a shard"] += 1
        else:
            yield refused_row(name, "no tar shard: it lies in a folder of shards", name)


def _first_part(name: str) -> str:
    return re.split(r"[._]", name, maxsplit=1)[0]


def _downloaded(url: str, spool: Path, progress: Progress | None) -> Path:
    try:
        return download(url, spool, progress)
    except FileNotFoundError:
        raise ValueError(f"shard {url} is not found; check the pattern, or take it out") from None


def _named(name: str, spool: Path, progress: Progress | None) -> Iterator[tuple[str, Path]]:
    """(path or address, local file) of the shards that one name without braces stands for."""
    if name.startswith("s3://"):
        yield from ((url, _downloaded(url, spool, progress)) for url in _remote(name))
    else:
        yield from _local(name)


def tar_shards(
    source: str, spool: Path, progress: Progress | None = None
) -> Iterator[tuple[str, Path]]:
    """(name, local file) of each shard.

    ValueError where a name stands for none; before anything is read if local.
    """
    folder = Path(source).is_dir()
    for name in expand_braces(source):
        if not name.startswith("s3://"):
            _check(name, _local(name))
    for name in expand_braces(source):
        found = _named(name, spool, progress)
        first = _check(name, found)
        for path, file in itertools.chain([first], found):
            yield (path if folder else name_within(source, path)), file


def _check(name: str, found: Iterator[T]) -> T:
    """The first of the shards; ValueError if there is none."""
    first = next(found, None)
    if first is None:
        raise ValueError(
            f"there is no shard {name}; check the path or the pattern ({', '.join(ENDINGS)})"
        )
    return first


def _unpacked(packed: Path, spool: Path) -> Path:
    """The tar in a .gz; of a file that is cut off what is there.

    Refused if it unpacks to out of proportion.
    """
    facts = packed.stat()
    target = spool / f"{file_key(packed)}-unpacked.tar"
    if target.is_file():
        return target
    part = target.with_suffix(".part")
    try:
        spool.mkdir(parents=True, exist_ok=True)
        with gzip.open(packed) as source, part.open("wb") as file:
            for data in iter(partial(_chunk, source), b""):
                file.write(data)
                if file.tell() > MAX_UNPACKED * facts.st_size:
                    raise Refused(f"unpacks to more than {MAX_UNPACKED} times its size")
    except OSError as error:
        raise ValueError(
            f"{packed} cannot be unpacked to {spool}: {error.strerror}; make room there"
        ) from None
    part.rename(target)
    return target


def _chunk(file: gzip.GzipFile) -> bytes:
    try:
        return file.read1(CHUNK)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return b""  # the tar then lacks its end mark, which is told


def plain_tar(path: Path, spool: Path) -> Path:
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


def archive_rows(
    source: str,
    kind: str,
    spool: Path,
    progress: Progress | None = None,
    left: Counter[str] | None = None,
) -> Iterator[SourceRow]:
    """The rows of all shards; one that is no tar is one refused row.

    Where there are several, folders and names that say train, val or test give the split of images
    that have none (splits.py). `left` is that of shard_rows.
    """
    left = Counter() if left is None else left
    several = is_pattern(source) or not is_archive(source)
    for name, path in tar_shards(source, spool, progress):
        try:
            tar = plain_tar(path, spool)
        except Refused as error:
            yield refused_row(name, str(error), name)
        else:
            split = split_within(name.split("/")) if several else None
            yield from shard_rows(tar, name, kind, left, split)
    if Path(source).is_dir():
        yield from _beside(Path(source), left)
