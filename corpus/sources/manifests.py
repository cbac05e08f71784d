"""A table of posts or labels, local or on S3, row by row in constant memory: CSV, JSONL (also .gz) or Parquet.

Columns: image, hashtags (a list, or one string), and id, user, time where known; for labels image, label, and split
where known (without such a column images are split 70/10/20 by id).
"""

import gzip
from collections.abc import Iterator
from contextlib import ExitStack
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from corpus.sources import s3
from corpus.sources.downloads import download
from corpus.sources.lines import Found, Lines, check_columns, csv_rows, json_rows, lower
from corpus.sources.rows import Progress, Row, checked, described, leaves, refused, text

READERS = {".csv": csv_rows, ".tsv": csv_rows, ".jsonl": json_rows, ".ndjson": json_rows}
ENDINGS = (*READERS, *(f"{ending}.gz" for ending in READERS), ".parquet")
NEEDED = {"posts": ("image", "hashtags"), "labels": ("image", "label")}
WANTED = {"id", "image", "hashtags", "user", "time", "label", "split"}


def is_manifest(url: str | Path) -> bool:
    """Whether the name says that this is a table."""
    return str(url).lower().endswith(ENDINGS)


def _batch(batch: Any) -> list[tuple[dict[str, Any], str]]:
    """(row, reason) of each row of an Arrow record batch; one that Python cannot hold costs that row alone."""
    try:
        return [(row, "") for row in batch.to_pylist()]
    except (ValueError, OverflowError) as error:  # text that is not UTF-8, a time before the year 1
        if batch.num_rows == 1:
            return [({}, f"cannot be read ({error})")]
        return [pair for i in range(batch.num_rows) for pair in _batch(batch.slice(i, 1))]


def _parquet(path: Path, needed: tuple[str, ...]) -> Iterator[Found]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(path, buffer_size=1 << 20) as table:  # else a whole column of a row group is in memory
            names = table.schema_arrow.names
            check_columns(lower(names), needed)
            for batch in table.iter_batches(1024, columns=[name for name in names if name.strip().lower() in WANTED]):
                for row, reason in _batch(batch):
                    number += 1
                    yield Found(f"row {number}", dict(zip(lower(row), row.values(), strict=True)), reason)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"cannot be read after row {number} ({error}); export it again") from None


def _raw(url: str) -> BinaryIO:
    return BufferedReader(s3.Stream(url), s3.CHUNK) if url.startswith("s3://") else Path(url).open("rb")


def _open(url: str, stack: ExitStack) -> BinaryIO:
    """The bytes of a text table, unpacked if it ends in .gz."""
    file = stack.enter_context(_raw(url))
    return stack.enter_context(gzip.GzipFile(fileobj=file)) if url.lower().endswith(".gz") else file


def read_manifest(url: str, kind: str, spool: Path, progress: Progress | None = None) -> Iterator[Found]:
    """Its rows, column names in lower case; ValueError with cause and fix if the file as a whole is wrong."""
    needed, name = NEEDED[kind], url.lower().removesuffix(".gz")
    with ExitStack() as stack:
        try:
            if name.endswith(".parquet"):
                path = download(url, spool, progress) if url.startswith("s3://") else Path(url)
                yield from _parquet(path, needed)
            else:
                yield from READERS[PurePosixPath(name).suffix](Lines(_open(url, stack)), needed)
        except s3.Unreachable:
            raise
        except FileNotFoundError:
            raise ValueError(f"manifest {url} is not found; check its path") from None
        except OSError as error:
            raise ValueError(f"manifest {url} cannot be opened ({error.strerror or error}); check its path") from None
        except ValueError as error:
            raise ValueError(f"manifest {url} {error}; columns needed are {', '.join(needed)}") from None


def manifest_rows(url: str, images: str, kind: str, spool: Path, progress: Progress | None = None) -> Iterator[Row]:
    """The rows of a table, their images below a folder or s3:// prefix."""
    if not (images.startswith("s3://") or Path(images).is_dir()):
        raise ValueError(f"image folder {images} is not found; check its path")
    base = images.rstrip("/") + "/" if images.startswith("s3://") else f"{Path(images).resolve()}/./"
    for place, raw, reason in read_manifest(url, kind, spool, progress):
        where, image = f"{PurePosixPath(url).name} {place}", text(raw.get("image")) or ""
        if reason or (image and leaves(image)):
            yield refused(where, reason or "path leaves the image folder", image)
        else:
            yield checked(where, base + image, described(raw, kind, image))
