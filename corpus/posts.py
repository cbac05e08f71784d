"""The data store: records in manifest.jsonl, images in tar shards of the same order; DVC and S3 see few large files."""

import json
import os
import re
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

MANIFEST = "manifest.jsonl"
REPAIR = "restore the store with `dvc checkout` (or `dvc pull`), or import it again"


def _member(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or re.search(r"[\\\x00-\x1f]", name):
        raise ValueError("must be a relative name without '..', backslash or control character")
    if len(name.encode(errors="replace")) > 100:
        raise ValueError("must be at most 100 bytes, the limit of a USTAR header")
    return name


def _iso(time: str) -> str:
    datetime.fromisoformat(time)
    return time


class Record(BaseModel):
    """What posts and labelled images share; columns nobody declared are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    id: Annotated[str, Field(min_length=1)]
    image: Annotated[str, AfterValidator(_member)]


class Post(Record):
    """One posted image with the hashtags its user typed."""

    hashtags: list[str]
    user: str | None = None
    time: Annotated[str, AfterValidator(_iso)] | None = None


class Label(Record):
    """One labelled image of a target set."""

    label: Annotated[str, Field(min_length=1)]
    split: Literal["train", "val", "test"] = "train"


R = TypeVar("R", bound=Record)


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """An empty sibling to write into; it takes the place of `folder` only if the block ends well."""
    part, old = (folder.with_name(f".{folder.name}.{end}") for end in ("part", "old"))
    for left in (part, old):
        shutil.rmtree(left, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
    finally:
        for left in (part, old):
            shutil.rmtree(left, ignore_errors=True)


class TarShards:
    """Writes 00000.tar, 00001.tar ... of about `shard_bytes` each, the same bytes for the same input."""

    def __init__(self, folder: Path, shard_bytes: int):
        self.folder, self.shard_bytes, self.shard, self._tar = folder, shard_bytes, -1, None

    def add(self, name: str, data: bytes) -> tuple[int, int]:
        """Appends one member; returns (shard number, offset of its first byte in that file)."""
        if self._tar is None or self._tar.offset >= self.shard_bytes:
            self.close()
            self.shard += 1
            path = self.folder / f"{self.shard:05d}.tar"
            self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 (see close)
        info = tarfile.TarInfo(name)  # its defaults: mtime 0, uid 0, no names, mode 0644
        info.size = len(data)
        offset = self._tar.offset + tarfile.BLOCKSIZE
        self._tar.addfile(info, BytesIO(data))
        return self.shard, offset

    def close(self) -> None:
        if self._tar is not None:
            self._tar.close()


def json_line(record: dict) -> str:
    return json.dumps(record, sort_keys=True, ensure_ascii=False) + "\n"


def write_store(folder: Path, records: Iterable[tuple[Record, bytes]], shard_bytes: int = 64 << 20) -> int:
    """Writes (record, image bytes) pairs as the store `folder`, replacing an older one whole; returns their number.

    Files of an older store that are neither manifest nor shard (synonyms.tsv) stay. ValueError for a repeated id.
    """
    ids: set[str] = set()
    with replacing(folder) as part:
        manifest = (part / MANIFEST).open("w", encoding="utf-8", newline="\n")
        with manifest, closing(TarShards(part, shard_bytes)) as tars:
            for record, data in records:
                if record.id in ids:
                    raise ValueError(f"id {record.id!r} occurs twice; give every record its own id")
                ids.add(record.id)
                tars.add(record.image, data)
                manifest.write(json_line(record.model_dump()))
        for extra in folder.glob("*"):
            if extra.is_file() and extra.name != MANIFEST and extra.suffix != ".tar":
                shutil.copy2(extra, part)
    return len(ids)


def read_manifest(folder: Path, model: type[R]) -> Iterator[R]:
    """The records of a store, without their images."""
    path = folder / MANIFEST
    if not path.is_file():
        raise ValueError(f"{path} is missing; {REPAIR}")
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield model.model_validate_json(line)
            except ValidationError as error:
                what = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
                raise ValueError(f"{path} line {number} is no {model.__name__} ({what}); {REPAIR}") from None


def _check_end(path: Path) -> None:
    with path.open("rb") as file:
        file.seek(-min(path.stat().st_size, 2 * tarfile.BLOCKSIZE), os.SEEK_END)
        if file.read() != bytes(2 * tarfile.BLOCKSIZE):  # tarfile itself takes a cut between two members for the end
            raise tarfile.ReadError("no end-of-archive mark")


def _members(folder: Path) -> Iterator[tuple[Path, str, bytes]]:
    for number, path in enumerate(sorted(folder.glob("*.tar"))):
        if path.name != f"{number:05d}.tar":
            raise ValueError(f"{folder / f'{number:05d}.tar'} is missing; {REPAIR}")
        try:
            _check_end(path)
            with tarfile.open(path, "r|") as tar:
                for info in tar:
                    if info.isreg():  # links and devices are passed over; nothing is ever extracted to disk
                        data = tar.extractfile(info).read()
                        if len(data) != info.size:
                            raise tarfile.ReadError("unexpected end of data")
                        yield path, info.name, data
        except tarfile.TarError as error:
            raise ValueError(f"{path} is damaged ({error}); {REPAIR}") from error


def read_store(folder: Path, model: type[R]) -> Iterator[tuple[R, bytes]]:
    """Streams (record, image bytes) in manifest order; ValueError names a file that is missing, short or different."""
    members = _members(folder)
    path = folder
    for record in read_manifest(folder, model):
        path, name, data = next(members, (path, None, b""))
        if name is None:
            raise ValueError(f"{path} ends before image {record.image!r} of {folder / MANIFEST}; {REPAIR}")
        if name != record.image:
            raise ValueError(f"{path} holds {name!r} where {folder / MANIFEST} expects {record.image!r}; {REPAIR}")
        yield record, data
    for path, name, _ in members:
        raise ValueError(f"{path} holds {name!r}, which {folder / MANIFEST} does not list; {REPAIR}")
