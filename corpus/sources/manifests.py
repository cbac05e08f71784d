"""A table of images with what is said of each, local or on S3, row by row in constant memory.

CSV, JSONL (also .gz) or Parquet. Columns: image (or file_name, ...), id where known, and those that
its kind asks for: of posts hashtags (a list, or one string) or a caption, user, time; of labels
label, and split where known (without it 70/10/20 by id).

`image` is a name below the images' folder (places.py), or the image itself: bytes, or {bytes, path}
as Hugging Face writes Parquet. Such images are put into the spool; without an id theirs is the
table's name and the number of the row, since their paths repeat.
"""

import gzip
from collections.abc import Iterator
from contextlib import ExitStack, closing
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple

from corpus.progress import Progress
from corpus.records.cells import cell_text
from corpus.records.kind import kind as kind_named
from corpus.sources import s3
from corpus.sources.downloads import download
from corpus.sources.formats import START, picture_ending
from corpus.sources.framefolders import frames_locator
from corpus.sources.lines import Asked, Found, Lines, csv_rows, json_rows
from corpus.sources.parquet import parquet_rows
from corpus.sources.places import Bucket, Folder, images_of
from corpus.sources.rows import (
    MAX_BYTES,
    Refused,
    SourceRow,
    described_row,
    refused_row,
)
from corpus.sources.spooled import ImageSpool

READERS = {".csv": csv_rows, ".tsv": csv_rows, ".jsonl": json_rows, ".ndjson": json_rows}
PACKED = tuple(f"{ending}.gz" for ending in READERS)
ENDINGS = (*READERS, *PACKED, ".parquet")
IMAGE = ("image", "file_name", "filename", "filepath", "path")  # Hugging Face's, FiftyOne's, ...
NAMING = {"image": IMAGE, "video": ("video", "clip", *IMAGE)}  # columns that name what is stored
LONGEST = 4096  # bytes of a path; a longer cell is no name


class Table(NamedTuple):
    """Where a table lies, its name in messages and ids, and the split of rows that say none."""

    url: str
    name: str
    split: str | None = None
    nearest: bool = False  # whether names of images are relative to it before all else


def is_manifest(url: str | Path) -> bool:
    """Whether the name says that this is a table."""
    return str(url).lower().endswith(ENDINGS)


def _raw(url: str) -> BinaryIO:
    stream = url.startswith("s3://")
    return BufferedReader(s3.Stream(url), s3.CHUNK) if stream else Path(url).open("rb")


def _open(url: str, stack: ExitStack) -> BinaryIO:
    """The bytes of a text table, unpacked if it ends in .gz."""
    file = stack.enter_context(_raw(url))
    packed = url.lower().endswith(".gz")
    return stack.enter_context(gzip.GzipFile(fileobj=file)) if packed else file


def _asked(kind: str) -> Asked:
    of = kind_named(kind)
    named, more = NAMING[of.media], {"split"} if of.has_split else set()
    more |= {"fps"} if of.media == "video" else set()  # of a folder of frames
    return Asked((named, *of.needed), {"id", *named, *of.wanted} | more, of.others)


def read_manifest(url: str, file: Path | None, kind: str) -> Iterator[Found]:
    """Its rows, column names in lower case; `file`: the table where it had to be downloaded.

    ValueError with cause and fix if it is wrong as a whole.
    """
    asked = _asked(kind)
    names = (f"{name} (or {', '.join(more)})" if more else name for name, *more in asked.needed)
    return read_columns(url, file, asked, f"columns needed are {', '.join(names)}")


def read_columns(url: str, file: Path | None, asked: Asked, fix: str) -> Iterator[Found]:
    """The rows of a table that has the columns needed; ValueError, with the fix, if it has not."""
    name = url.lower().removesuffix(".gz")
    with ExitStack() as stack:
        try:
            if name.endswith(".parquet"):
                yield from parquet_rows(file or Path(url), asked)
            else:
                lines = Lines(_open(url, stack))
                yield from READERS[PurePosixPath(name).suffix](lines, asked)
        except s3.Unreachable:
            raise
        except FileNotFoundError:
            raise ValueError(f"manifest {url} is not found; check its path") from None
        except OSError as error:
            why = error.strerror or error
            raise ValueError(f"manifest {url} cannot be opened ({why}); check its path") from None
        except ValueError as error:
            raise ValueError(f"manifest {url} {error}; {fix}") from None


def embedded_image(value: Any) -> bytes | None:
    """The image that a cell holds; None where it names one."""
    if isinstance(value, dict):
        value = value.get("bytes")
        return value if isinstance(value, bytes) else None
    long = isinstance(value, bytes) and len(value) > LONGEST
    return value if long or (isinstance(value, bytes) and picture_ending(value[:START])) else None


def named_cell(value: Any) -> str:
    """The name of an image that a cell holds, or nothing."""
    return cell_text(value.get("path") if isinstance(value, dict) else value) or ""


class TableReader:
    """Rows of one table with their images."""

    def __init__(self, table: Table, kind: str, images: Folder | Bucket, spool: ImageSpool | None):
        self.table, self.kind, self.images, self.spool = table, kind, images, spool
        self.media = kind_named(kind).media

    def row(self, found: Found) -> SourceRow:
        """The row, refused with its reason where it cannot be used."""
        where = f"{self.table.name} {found.place}"
        names = NAMING[self.media]
        value = next((found.raw[name] for name in names if name in found.raw), None)
        data, image = embedded_image(value), named_cell(value)
        try:
            if found.reason:
                raise Refused(found.reason)
            if data is not None:
                return self._within(where, found, data)
            locator = ""
            if image:
                image, locator = self.images.place(image)
                if self.media == "video":
                    rate = cell_text(found.raw.get("fps")) or ""
                    locator = frames_locator(locator, image, rate)
        except Refused as error:
            return refused_row(where, str(error), "" if data is not None else image)
        return self._described(where, locator, found, image)

    def _described(self, where: str, locator: str, found: Found, image: str) -> SourceRow:
        return described_row(where, locator, found.raw, self.kind, image, self.table.split)

    def _within(self, where: str, found: Found, data: bytes) -> SourceRow:
        if len(data) > MAX_BYTES:
            raise Refused(f"file of {len(data):,} bytes, allowed are {MAX_BYTES:,}")
        assert self.spool is not None  # only Parquet has bytes
        name = f"{self.table.name[: -len('.parquet')]}/{found.place.removeprefix('row ')}"
        row = self._described(where, "", found, name)
        return row if row.reason else row._replace(locator=self.spool.add(data))


def table_rows(
    table: Table,
    images: str,
    kind: str,
    spool: Path,
    progress: Progress | None = None,
) -> Iterator[SourceRow]:
    """The rows of a table, their images below a folder or s3:// prefix, or within it."""
    url, file = table.url, None
    local = not url.startswith("s3://")
    places = images_of(images, url, table.nearest)
    if url.lower().endswith(".parquet"):
        file = Path(url) if local else downloaded_table(url, spool, progress)
    inner = ImageSpool(file, kind, spool) if file and file.is_file() else None
    reader = TableReader(table, kind, places, inner)
    with ExitStack() as stack:
        if inner:
            stack.enter_context(closing(inner))
        for found in read_manifest(url, file, kind):
            yield reader.row(found)


def downloaded_table(url: str, spool: Path, progress: Progress | None) -> Path:
    try:
        return download(url, spool, progress)
    except FileNotFoundError:
        raise ValueError(f"manifest {url} is not found; check its path") from None


def manifest_rows(
    url: str,
    images: str,
    kind: str,
    spool: Path,
    progress: Progress | None = None,
) -> Iterator[SourceRow]:
    """The rows of the table at `url`."""
    return table_rows(Table(url, PurePosixPath(url).name), images, kind, spool, progress)
