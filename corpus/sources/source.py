"""Where posts and labels come from, all as one stream of rows in constant memory; an image is read when asked for.

A source is a table and its images (manifests.py), tar shards (archives.py), or a folder of labelled images: its classes
as labels, or turned into posts by a model of how people tag (labelled.py). All may lie under s3:// (s3.py).
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from corpus.sources import s3
from corpus.sources.rows import MAX_BYTES, Progress, Refused, Row, prefetch

__all__ = ["Progress", "Refused", "Row", "fetch", "prefetch", "rows"]

IN_TAR = re.compile(r"tar:(\d+)\+(\d+):(.+)", re.DOTALL)


def rows(
    source: str | Path,
    images: str | Path | None,
    kind: Literal["posts", "labels"],
    spool: Path,
    progress: Progress | None = None,
    **options,
) -> Iterator[Row]:
    """The rows of a source in its order, those that cannot be used with the reason.

    `source`: a .csv, .tsv, .jsonl, .ndjson (or these .gz) or .parquet, its images relative to `images` (default: where
    it lies); a .tar, .tar.gz, .tgz, a folder of them, or a pattern (`*`, {00000..00009}); all also s3://. Or a folder
    with a folder of images per class: `options` are those of corpus.labelled.posts.
    Tars from S3, and what must be unpacked, stay in `spool`, where locators point, until the caller has fetched them.
    ValueError if the source as a whole cannot be read; downloads under way are kept for the next run.
    """
    assert kind in ("posts", "labels"), kind
    count = 0
    try:
        for row in _rows(str(source), images, kind, Path(spool), progress, **options):
            yield row
            count += 1
    except s3.Unreachable as error:
        kept = f"what was downloaded is kept in {spool}: run again and it goes on"
        raise ValueError(f"{error} ({count:,} rows of {source} had been read; {kept})") from None


def _rows(
    source: str, images: str | Path | None, kind: str, spool: Path, progress: Progress | None, **options
) -> Iterator[Row]:
    from corpus.sources.archives import archive_rows, expanded, is_archive
    from corpus.sources.manifests import ENDINGS, is_manifest, manifest_rows

    if is_manifest(source):
        images = source.rpartition("/")[0] or "." if images is None else str(images)
        yield from _plain(manifest_rows(source, images, kind, spool, progress), options)
    elif _classes(source):
        from corpus.sources import labelled

        if not options and (tables := [file.name for file in Path(source).iterdir() if is_manifest(file)]):
            raise ValueError(f"folder {source} holds the table {tables[0]}; name that, or move it away to have classes")
        yield from labelled.posts(Path(source), **options) if kind == "posts" else labelled.labels(Path(source))
    elif source.startswith("s3://") or Path(source).is_dir() or is_archive(next(expanded(source))):
        yield from _plain(archive_rows(source, kind, spool, progress), options)
    else:
        raise ValueError(f"{source} is no source: name a table ({' '.join(ENDINGS)}), .tar shards or a folder of them")


def _plain(found: Iterator[Row], options: dict) -> Iterator[Row]:
    if options:
        raise ValueError(f"options {', '.join(options)} are for a folder of labelled images only; leave them out")
    return found


def _classes(source: str) -> bool:
    """Whether this is a folder of folders, without tars."""
    from corpus.sources.archives import is_archive

    if source.startswith("s3://") or not Path(source).is_dir():
        return False
    entries = [(entry.is_dir(), is_archive(entry.name)) for entry in os.scandir(source)]
    return any(folder for folder, _ in entries) and not any(tar for _, tar in entries)


# images


def fetch(locator: str) -> bytes:
    """The image that a row's locator names; Refused if it is missing, too large or outside of its folder.

    ValueError that is not Refused: S3 itself fails, and would for the next image too.
    """
    try:
        if locator.startswith("s3://"):
            return s3.get(locator, MAX_BYTES)
        part = IN_TAR.fullmatch(locator)
        return _part(Path(part[3]), int(part[1]), int(part[2])) if part else _file(locator)
    except FileNotFoundError:
        raise Refused("file is missing") from None
    except OSError as error:
        raise Refused(f"file cannot be read: {error.strerror}") from None
    except UnicodeEncodeError as error:
        raise Refused(
            f"file name does not exist in {error.encoding}, this system's encoding; set LC_ALL=C.UTF-8"
        ) from None


def _allowed(size: int) -> None:
    if size > MAX_BYTES:
        raise Refused(f"file of {size:,} bytes, allowed are {MAX_BYTES:,}")


def _part(tar: Path, offset: int, size: int) -> bytes:
    _allowed(size)
    file = os.open(tar, os.O_RDONLY)
    try:
        data = os.pread(file, size, offset)
    finally:
        os.close(file)
    if len(data) != size:
        raise Refused(f"{tar.name} has become shorter since it was read")
    return data


def _file(locator: str) -> bytes:
    """A local file; what stands before `/./` is the folder that no link may leave."""
    folder, inside, _ = locator.partition("/./")
    try:
        path = Path(locator).resolve()
    except RuntimeError:  # links in a circle; Python 3.13 raises OSError
        raise FileNotFoundError(locator) from None
    if inside and not path.is_relative_to(Path(folder or "/").resolve()):
        raise Refused("path leaves the image folder")
    if not path.is_file():  # a folder, a device, a FIFO
        raise FileNotFoundError(locator)
    _allowed(path.stat().st_size)
    return path.read_bytes()
