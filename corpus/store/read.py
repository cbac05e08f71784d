"""The data store, few large files for DVC and S3: NNNNN.tar (images), NNNNN.jsonl (their
records), store.json.

More posts are more shards; a correction of records rewrites the shards that hold them, and no
others. The digest of a store is the sum modulo 2^256 of the SHA-256 of its records with their
images, so it depends neither on their order nor on how many imports they came in.
"""

import json
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
from pydantic import BaseModel, ValidationError

from corpus.names import checked_name, path_within
from corpus.records.kind import BaseKind, kind, kinds
from corpus.records.record import R, faults

STORE = "store.json"
REPAIR = "restore the store with `dvc checkout` (or `dvc pull`), or import it again"


class Shard(BaseModel):
    """One shard as store.json lists it: SHA-256 of its two files, sum of its records' digests."""

    name: str
    records: int
    tar: str
    lines: str
    digest: str


def place_of(data: Path, name: str) -> Path:
    """The folder of the store `posts` or targets/<set>.

    ValueError for any other, or one that links put outside of `data`.
    """
    if name != "posts":
        head, _, target = name.partition("/")
        assert head == "targets", name
        checked_name(target, "name of the labelled set")
    return path_within(data / name, data)


def usual_kind(name: str) -> str:
    """The kind of a store that names none: `posts`, and of targets/<set> labels."""
    return "posts" if name in ("posts", "hashtags") else "labels"


def kind_of(folder: Path, name: str) -> BaseKind:
    """The kind of the store of this name, as store.json says, or else the usual one.

    ValueError if that is damaged, or of a kind that there is not.
    """
    try:
        about = json.loads((folder / STORE).read_text(encoding="utf-8"))
        return kind(about.get("kind", usual_kind(name)))
    except FileNotFoundError:
        return kind(usual_kind(name))
    except (json.JSONDecodeError, AttributeError):
        raise ValueError(f"{folder / STORE} is damaged; {REPAIR}") from None


def wanted_kind(folder: Path, name: str, asked: str | None, replaced: bool) -> BaseKind:
    """The kind of what is imported into a store: as asked, else what it has.

    ValueError where records of another kind are there and stay, or it cannot be of that kind.
    """
    there = kind_of(folder, name)
    found = kind(asked) if asked else there
    posts = name == "posts"
    if found.posted and not posts:
        raise ValueError(f"{name} cannot be of the kind {found.name}: --posts imports posts")
    if posts and not found.posted:
        choice = ", ".join(one for one in kinds() if kind(one).posted)
        raise ValueError(f"posts cannot be of the kind {found.name}: choose one of {choice}")
    if found is not there and (folder / STORE).exists() and not replaced:
        option, fix = "--kind", "import it under another name (--target), or --replace"
        if posts:
            option, fix = "--posts-kind", "all posts are of one kind: --replace"
        raise ValueError(
            f"{name} holds {there.name}, and {option} {found.name} was asked for: {fix} what is "
            "there"
        )
    return found


def shards_of(folder: Path) -> list[Shard]:
    """The shards that store.json lists; ValueError if it is missing or damaged."""
    path = folder / STORE
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        shards = [Shard.model_validate(entry) for entry in about["shards"]]
        whole = about["digest"] == total(shards)
    except FileNotFoundError:
        raise ValueError(f"{path} is missing; {REPAIR}") from None
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is damaged; {REPAIR}") from None
    if not whole:
        raise ValueError(f"{path} is damaged, its digest is not that of its shards; {REPAIR}")
    return shards


def checksums(folder: Path) -> Iterator[tuple[Path, str]]:
    """The files of a store with the SHA-256s that store.json has of them.

    ValueError as `shards_of`.
    """
    for shard in shards_of(folder):
        yield folder / f"{shard.name}.tar", shard.tar
        yield folder / f"{shard.name}.jsonl", shard.lines


def total(shards: Iterable[Shard]) -> str:
    """The digest of all records and images, 64 hex digits."""
    return f"{sum(int(shard.digest, 16) for shard in shards) % 2**256:064x}"


def _file(folder: Path, shard: Shard, kind: str) -> BinaryIO:
    path = folder / f"{shard.name}.{kind}"
    try:
        return path.open("rb")
    except OSError as error:
        raise ValueError(f"{path} is missing or unreadable ({error.strerror}); {REPAIR}") from None


def read_lines(folder: Path, shard: Shard, model: type[R]) -> Iterator[tuple[R, bytes]]:
    """(record, its line with offset, size and sha256 of its image) of one shard."""
    number = 0
    with _file(folder, shard, "jsonl") as lines:
        for number, line in enumerate(lines, 1):
            try:
                yield model.model_validate_json(line), line
            except ValidationError as error:
                line = f"{folder / shard.name}.jsonl line {number}"
                fault = f"is no {model.__name__} ({faults(error)})"
                raise ValueError(f"{line} {fault}; {REPAIR}") from None
    if number != shard.records:
        raise ValueError(
            f"{folder / shard.name}.jsonl has {number} lines, not {shard.records}; {REPAIR}"
        )


def _lines(folder: Path, shard: Shard, model: type[R]) -> Iterator[R]:
    for record, _ in read_lines(folder, shard, model):
        yield record


def read_records(folder: Path, model: type[R]) -> Iterator[R]:
    """The records of a store, without their images."""
    for shard in shards_of(folder):
        yield from _lines(folder, shard, model)


def read_table(folder: Path, shard: Shard, fields: dict[str, pa.DataType]) -> pa.Table:
    """Some columns of one shard's records, all rows at once; ValueError if its list is damaged."""
    from pyarrow import json

    parsing = json.ParseOptions(
        explicit_schema=pa.schema(fields), unexpected_field_behavior="ignore"
    )
    with _file(folder, shard, "jsonl") as lines:
        # a line that does not fit into a block is an error
        reading = json.ReadOptions(block_size=max(1 << 20, 1 + max(map(len, lines), default=0)))
        lines.seek(0)
        try:
            table = (
                json.read_json(lines, reading, parsing)
                if shard.records
                else pa.schema(fields).empty_table()
            )
        except pa.ArrowException as error:
            raise ValueError(
                f"{folder / shard.name}.jsonl is damaged ({error}); {REPAIR}"
            ) from None
    if len(table) != shard.records:
        raise ValueError(
            f"{folder / shard.name}.jsonl has {len(table)} lines, not {shard.records}; {REPAIR}"
        )
    return table.select(list(fields))


def read_images(folder: Path, shard: Shard) -> Iterator[tuple[str, bytes]]:
    """(member name, bytes) of the images of one shard, without their records.

    ValueError if the tar is damaged.
    """
    with _file(folder, shard, "tar") as file:
        try:
            with tarfile.open(fileobj=file, mode="r|") as tar:
                for info in tar:
                    if (
                        info.isreg()
                    ):  # links and devices are passed over; nothing is ever extracted to disk
                        data = tar.extractfile(info).read()
                        if len(data) != info.size:
                            raise tarfile.ReadError("unexpected end of data")
                        yield info.name, data
        except tarfile.TarError as error:
            raise ValueError(f"{folder / shard.name}.tar is damaged ({error}); {REPAIR}") from error


def read_shard(folder: Path, shard: Shard, model: type[R]) -> Iterator[tuple[R, bytes]]:
    """Streams (record, image) of one shard.

    ValueError names a file that is missing, short or different.
    """
    members = read_images(folder, shard)
    for record in _lines(folder, shard, model):
        name, data = next(members, (None, b""))
        if name is None:
            raise ValueError(
                f"{folder / shard.name}.tar ends before image {record.image!r}; {REPAIR}"
            )
        if name != record.image:
            raise ValueError(
                f"{folder / shard.name}.tar holds {name!r} where {record.image!r} belongs; {REPAIR}"
            )
        yield record, data
    for name, _ in members:
        raise ValueError(
            f"{folder / shard.name}.tar holds {name!r}, which its list does not; {REPAIR}"
        )


def read_store(folder: Path, model: type[R]) -> Iterator[tuple[R, bytes]]:
    """Streams (record, image) of a whole store in its order."""
    for shard in shards_of(folder):
        yield from read_shard(folder, shard, model)
