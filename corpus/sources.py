"""A person's own posts: a table (CSV, JSONL, Parquet) and images, in a local folder or on S3, into the data store.

Credentials and the endpoint of another S3 server come from the environment, as boto3 reads them (AWS_ENDPOINT_URL_S3).
"""

import csv
import functools
import hashlib
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from io import BytesIO, TextIOWrapper
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, NamedTuple, TypeVar

from pydantic import ValidationError

from corpus.hashtags import split_tags
from corpus.images import BadImage, open_image
from corpus.posts import Label, Post, Record, json_line, write_store

MAX_BYTES = 200 << 20
NEEDED = {"posts": ("image", "hashtags"), "labels": ("image", "label")}
Progress = Callable[[int, int | None, str], None]
A, B = TypeVar("A"), TypeVar("B")


class Refused(ValueError):
    """One row that cannot be imported; the others can."""


class Import(NamedTuple):
    """How many records were stored, and {"row", "image", "reason"} of each that was not."""

    kept: int
    quarantined: list[dict]


def prefetch(function: Callable[[A], B], items: Iterable[A], threads: int = 8, ahead: int = 16) -> Iterator[B]:
    """`map` in the given order, at most `ahead` items being worked on in threads."""
    with ThreadPoolExecutor(threads) as pool:
        running = deque()
        try:
            for item in items:
                running.append(pool.submit(function, item))
                if len(running) >= ahead:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()


# S3


@functools.cache
def _client(endpoint: str | None):  # the endpoint is the cache's key; boto3 reads it from the environment itself
    import boto3
    from botocore.config import Config

    config = Config(connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 5})
    return boto3.session.Session().client("s3", config=config)


def _s3_get(url: str, limit: int | None = None) -> bytes:
    """The object at s3://bucket/key; FileNotFoundError if only the object lacks, ValueError if S3 itself fails."""
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = url.removeprefix("s3://").partition("/")
    try:
        answer = _client(os.environ.get("AWS_ENDPOINT_URL_S3")).get_object(Bucket=bucket, Key=key)
        if limit and answer["ContentLength"] > limit:
            raise Refused(f"file of {answer['ContentLength']:,} bytes, allowed are {limit:,}")
        return answer["Body"].read()
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        if code in ("NoSuchKey", "404"):
            raise FileNotFoundError(url) from None
        fixes = {"NoSuchBucket": "check the bucket's name and AWS_ENDPOINT_URL_S3"}
        fix = fixes.get(code, "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the right to list and get")
        raise ValueError(f"S3 refused {url} ({code}); {fix}") from None
    except BotoCoreError as error:  # its message may be long but holds no credential
        raise ValueError(f"S3 cannot be used for {url}: {error}; check AWS_ENDPOINT_URL_S3 and AWS_* keys") from None


# files


def read_bytes(base: str | Path, name: str) -> bytes:
    """The file `name` below a local folder or s3://bucket/prefix; Refused if missing, too large or outside of it."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or not path.parts:
        raise Refused("path leaves the image folder")
    try:
        if str(base).startswith("s3://"):
            return _s3_get(f"{str(base).rstrip('/')}/{name}", MAX_BYTES)
        file = Path(base, name).resolve()
        if not file.is_relative_to(Path(base).resolve()):
            raise Refused("path leaves the image folder")
        if not file.is_file():
            raise FileNotFoundError(name)
        if (size := file.stat().st_size) > MAX_BYTES:
            raise Refused(f"file of {size:,} bytes, allowed are {MAX_BYTES:,}")
        return file.read_bytes()
    except FileNotFoundError:
        raise Refused("file is missing") from None
    except OSError as error:
        raise Refused(f"file cannot be read: {error.strerror}") from None


def _open(url: str | Path) -> BinaryIO:
    try:
        return BytesIO(_s3_get(str(url))) if str(url).startswith("s3://") else Path(url).open("rb")
    except OSError as error:
        raise ValueError(f"manifest {url} cannot be opened ({error.strerror or 'not found'}); check its path") from None


def _csv_rows(text: TextIOWrapper) -> Iterator[dict]:
    header = text.readline()
    delimiter = max(",;\t", key=header.count)
    columns = next(csv.reader([header], delimiter=delimiter), [])
    yield from csv.DictReader(text, columns, delimiter=delimiter)


def _json_rows(text: TextIOWrapper) -> Iterator[dict]:
    for number, line in enumerate(text, 1):
        if line.strip():
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number} is no JSON ({error.msg})") from None
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is no JSON object")
            yield row


def _parquet_rows(file: BinaryIO) -> Iterator[dict]:
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(file).iter_batches(4096):
        yield from batch.to_pylist()


def read_manifest(url: str | Path) -> Iterator[dict]:
    """Rows of a CSV (comma, semicolon or tab), JSONL or Parquet file, local or s3://; column names in lower case."""
    import pyarrow as pa

    kind = PurePosixPath(str(url)).suffix.lower()
    with _open(url) as file:
        try:
            if kind in (".csv", ".tsv"):
                rows = _csv_rows(TextIOWrapper(file, "utf-8-sig", newline=""))
            elif kind in (".jsonl", ".ndjson"):
                rows = _json_rows(TextIOWrapper(file, "utf-8-sig"))
            elif kind == ".parquet":
                rows = _parquet_rows(file)
            else:
                raise ValueError(f"ending {kind!r} is unknown (known: .csv .tsv .jsonl .ndjson .parquet)")
            for row in rows:
                yield {str(name).strip().lower(): value for name, value in row.items()}
        except UnicodeDecodeError as error:
            raise ValueError(f"manifest {url} is not UTF-8 (byte {error.start}); save it as UTF-8") from None
        except (ValueError, csv.Error, pa.ArrowException) as error:
            raise ValueError(f"manifest {url} cannot be read: {error}; mend or export it again") from None


# import


def _tags(value: Any) -> list[str]:
    if isinstance(value, str):
        return split_tags(value)
    return [tag for item in value or () for tag in split_tags(str(item))]


def _text(value: Any) -> str | None:
    if value is None or value == "" or value != value:  # NaN is how pandas writes an empty cell
        return None
    return value.isoformat() if isinstance(value, date) else str(value).strip() or None


def _split(key: str) -> str:
    """The split of an image whose manifest names none: 70 % train, 10 % val, 20 % test, by its id alone."""
    share = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
    return "train" if share < 0.7 else "val" if share < 0.8 else "test"


def _record(row: dict, kind: str, number: int) -> Record:
    """The record of one row, image renamed to its row number (names of strangers repeat, and are too long for tar)."""
    name = _text(row.get("image"))
    ending = PurePosixPath(name).suffix.lower()
    fields = {"id": _text(row.get("id")) or name}
    fields["image"] = f"{number:08d}{ending if ending[1:].isalnum() and ending.isascii() else ''}"
    if kind == "labels":
        split = _text(row["split"]) or "train" if "split" in row else _split(fields["id"])
        return Label(**fields, label=_text(row.get("label")) or "", split=split)
    tags = _tags(row.get("hashtags"))
    if not tags:
        raise Refused("no hashtag")
    return Post(**fields, hashtags=tags, user=_text(row.get("user")), time=_text(row.get("time")))


def _fetch(images: str | Path, kind: str, numbered: tuple[int, dict]) -> tuple[dict, Record | None, bytes]:
    """(quarantine entry, record, bytes) of one row; the record is None if the entry's reason holds."""
    number, row = numbered
    entry = {"row": number, "image": _text(row.get("image")) or "", "reason": ""}
    try:
        if not entry["image"]:
            raise Refused("no image name")
        record = _record(row, kind, number)
        data = read_bytes(images, entry["image"])
        open_image(data, least=1)
        return entry, record, data
    except ValidationError as error:
        what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return entry | {"reason": what}, None, b""
    except (Refused, BadImage) as error:
        return entry | {"reason": str(error)}, None, b""


def _checked(rows: Iterator[dict], kind: str, manifest: str | Path) -> Iterator[tuple[int, dict]]:
    for number, row in enumerate(rows, 1):
        lacking = [name for name in NEEDED[kind] if name not in row]
        if number == 1 and lacking:
            found = ", ".join(sorted(row))
            raise ValueError(
                f"manifest {manifest} lacks column {', '.join(lacking)} (found: {found}); rename or add it"
            )
        yield number, row


def import_posts(
    images: str | Path, manifest: str | Path, out_folder: Path, kind: str = "posts", progress: Progress | None = None
) -> Import:
    """Reads images and manifest into the store `out_folder`, replacing an older one; faulty rows are set aside.

    Columns: image, hashtags (a list, or one string), optional id, user, time (ISO 8601); for kind "labels": image,
    label, optional id, split (without such a column images are split 70/10/20 by id). Rows set aside are also listed
    in quarantine.jsonl of the data folder.
    ValueError if a column or the manifest lacks, if S3 fails, or if no row is left; the older store then stays.
    """
    quarantined: list[dict] = []
    ids: set[str] = set()

    def kept() -> Iterator[tuple[Record, bytes]]:
        rows = _checked(read_manifest(manifest), kind, manifest)
        for entry, record, data in prefetch(functools.partial(_fetch, images, kind), rows):
            if record and record.id in ids:
                entry["reason"], record = f"duplicate id {record.id!r}", None
            if record:
                ids.add(record.id)
                yield record, data
            else:
                quarantined.append(entry)
            if progress:
                progress(len(ids) + len(quarantined), None, "import")
        if not ids:
            why = f"; the first: {quarantined[0]}" if quarantined else ""
            raise ValueError(f"no row of manifest {manifest} could be imported{why}; check it and the image folder")

    assert kind in NEEDED, kind
    count = write_store(out_folder, kept())
    _note(out_folder, kind, quarantined)
    return Import(count, quarantined)


def _note(folder: Path, kind: str, quarantined: list[dict]) -> None:
    """Puts this store's entries into data/quarantine.jsonl in place of its older ones; no entry, no file."""
    data = folder.parent if kind == "posts" else folder.parent.parent
    store, path = folder.relative_to(data).as_posix(), data / "quarantine.jsonl"
    old = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    lines = [line for line in old if json.loads(line).get("store") != store]
    lines += [json_line(entry | {"store": store}) for entry in quarantined]
    path.write_text("".join(lines), encoding="utf-8") if lines else path.unlink(missing_ok=True)
