"""Where images come from, with what is said of them, all as one stream of rows in constant memory.

A source is a table and its images (manifests.py), a folder of part files of one (parts.py), tar
shards (archives.py), or a folder of images by class (classes.py), which a model of how people tag
may turn into posts (labelled.py). An image is read when asked for. Each row is taken or comes with
the reason why not; what nobody means to post is counted in `left`. All but images by class may lie
under s3:// (s3.py).
"""

import errno
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from corpus.progress import Progress
from corpus.records.kind import kind as kind_named
from corpus.sources import s3
from corpus.sources.framefolders import PREFIX, packed
from corpus.sources.rows import MAX_BYTES, Refused, SourceRow, prefetch

__all__ = ["Refused", "SourceRow", "fetch", "prefetch", "source_rows"]

IN_TAR = re.compile(r"tar:(\d+)\+(\d+):(.+)", re.DOTALL)
LINKED = "copy it into the folder, or have --images name a folder that holds both"


def source_rows(
    source: str | Path,
    images: str | Path | None,
    kind: str,
    spool: Path,
    progress: Progress | None = None,
    left: Counter[str] | None = None,
    about: dict | None = None,
    **options,
) -> Iterator[SourceRow]:
    """The rows of a source in its order, those that cannot be used with the reason.

    `kind`: of the data set that they are for (corpus/kinds).
    `source`: a .csv, .tsv, .jsonl, .ndjson (or these .gz) or .parquet, or a folder or pattern of
    them, images relative to `images` (default: where the table lies); a .tar, .tar.gz, .tgz, a
    folder of them, or a pattern (`*`, {00000..00009}); all also s3://. Or a folder of images by
    class, whose links may lead into `images`: `options` are those of sources.labelled.
    `left` counts what was left alone, by kind (hidden files, ...); it is no row. `about` takes what
    the source says of the set as a whole: "categories" of annotated objects (annotated.py).
    What is downloaded, unpacked or taken out of a table is in `spool` until it has been fetched.
    ValueError if the source as a whole cannot be read; downloads are kept for the next run.
    """
    kind_named(kind)  # ValueError where there is none of that name
    images, count = None if images is None else str(images), 0
    left = Counter() if left is None else left
    told = {} if about is None else about
    try:
        for row in _rows(str(source), images, kind, Path(spool), progress, left, told, options):
            yield row
            count += 1
    except s3.Unreachable as error:
        kept = f"what was downloaded is kept in {spool}: run again and it goes on"
        read = f"{count:,} rows of {source} had been read"
        raise ValueError(f"{error} ({read}; {kept})") from None


def _rows(
    source: str,
    images: str | None,
    kind: str,
    spool: Path,
    progress: Progress | None,
    left: Counter[str],
    about: dict,
    options: dict,
) -> Iterator[SourceRow]:
    from corpus.sources.archives import archive_rows
    from corpus.sources.folders import source_layout
    from corpus.sources.manifests import manifest_rows
    from corpus.sources.parts import part_rows

    if kind_named(kind).sized:
        from corpus.sources.annotated import annotated_rows

        found = annotated_rows(source, images, kind, spool, left, about, fetch, progress)
        if found is not None:
            yield from found
            return
    what = source_layout(source, bool(options))
    if what == "classes":
        yield from _classes(Path(source), images, kind, left, options)
        return
    if options:
        names = ", ".join(options)
        raise ValueError(
            f"options {names} are for a folder of labelled images only; leave them out"
        )
    if what == "shards":
        yield from archive_rows(source, kind, spool, progress, left)
    elif what == "table":
        base = source.rpartition("/")[0] or "." if images is None else images
        yield from manifest_rows(source, base, kind, spool, progress)
    else:
        yield from part_rows(source, images, kind, spool, left, progress)


def _classes(
    root: Path,
    images: str | None,
    kind: str,
    left: Counter[str],
    options: dict,
) -> Iterator[SourceRow]:
    from corpus.sources import classes, labelled

    allowed = Path(images) if images and not images.startswith("s3://") else None
    if kind_named(kind).posted:
        return labelled.labelled_posts(root, allowed, left, kind, **options)
    return classes.labelled_rows(root, allowed, left, kind)


# images


def fetch(locator: str) -> bytes:
    """The image or video that a row's locator names; a folder of frames as one tar.

    Refused if it is missing, too large or outside of its folder.

    ValueError that is not Refused: S3 itself fails, and would for the next image too.
    """
    try:
        if locator.startswith(PREFIX):
            return packed(locator, fetch)
        if locator.startswith("s3://"):
            return s3.get(locator, MAX_BYTES)
        part = IN_TAR.fullmatch(locator)
        return _part(Path(part[3]), int(part[1]), int(part[2])) if part else _file(locator)
    except FileNotFoundError:
        raise Refused("file is missing") from None
    except OSError as error:
        raise Refused(f"file cannot be read: {error.strerror}") from None
    except UnicodeEncodeError as error:
        fault = f"file name does not exist in {error.encoding}, this system's encoding"
        raise Refused(f"{fault}; set LC_ALL=C.UTF-8") from None


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
    if inside:
        _within(Path(folder or "/"), locator)
    try:
        # without waiting for whoever writes into a FIFO
        file = os.open(locator, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):  # circles, sockets
            raise FileNotFoundError(locator) from None
        raise
    try:
        facts = os.fstat(file)
        if not stat.S_ISREG(facts.st_mode):  # a folder, a device, a FIFO
            raise FileNotFoundError(locator)
        _allowed(facts.st_size)
        with open(file, "rb", closefd=False) as opened:
            return opened.read()
    finally:
        os.close(file)


def _within(folder: Path, locator: str) -> None:
    """Refused where links lead out of the folder."""
    try:
        path = Path(locator).resolve()
    except RuntimeError:  # links in a circle; Python 3.13 raises OSError
        raise FileNotFoundError(locator) from None
    if not path.is_relative_to(folder.resolve()):
        found = path if path.is_dir() else path.parent
        raise Refused(f"path leaves the image folder: it leads to {found}; {LINKED}")
