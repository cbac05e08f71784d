"""Rows whose id the store has already, against what it has: which say otherwise.

Compared are SHA-256s: of the record, and, with `--update`, of the image. That reads every image of
the source once more, so that without `--update` only an image's size is looked at, which a file's
entry or the place in a tar tells: other bytes of the same number are not seen then.
"""

import hashlib
import json
import stat
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from corpus.media.faults import BadFile
from corpus.progress import Progress
from corpus.records.kind import BaseKind
from corpus.records.record import Record
from corpus.sources.rows import Refused, prefetch
from corpus.sources.source import IN_TAR, fetch
from corpus.store.checking import checked_bytes
from corpus.store.plan import ImportPlan, Planned, Refusals, StoredRecord, hashed
from corpus.store.read import Shard, read_lines

FIRST = 3  # differences that are told


class Compared(NamedTuple):
    """Ids of which the source says otherwise, and the first; rows refused; rows that repeat an id
    with other content."""

    differing: int
    first: list[dict]
    refused: int
    repeated: int


def stored_records(
    folder: Path, shards: Iterable[Shard], model: type[Record]
) -> Iterator[StoredRecord]:
    """The records of a store, as a plan compares them."""
    for number, shard in enumerate(shards):
        for line, (record, text) in enumerate(read_lines(folder, shard, model)):
            content = record.model_copy(update={"image": "pending"}).model_dump_json()
            about = json.loads(text)
            place = number, line, about.get("size", -1), about.get("sha256", "")
            yield StoredRecord(hashed(record.id), hashed(content), *place)


def size_of(locator: str) -> int | None:
    """Bytes of the image there, where that can be told without reading it."""
    part = IN_TAR.fullmatch(locator)
    if part:
        return int(part[2])
    try:
        about = Path(locator).stat()
    except (OSError, ValueError):  # not there, no path, or in a bucket
        return None
    return about.st_size if stat.S_ISREG(about.st_mode) else None


def _glanced(pair: tuple[Planned, StoredRecord]) -> tuple[Planned, StoredRecord, bool, str]:
    """(row, known, whether they differ, why the row is refused), by record and image size."""
    row, there = pair
    size = size_of(row.locator) if row.content == there.content else None
    other = size not in (None, there.size) and there.size >= 0
    return row, there, other or row.content != there.content, ""


def _read(
    kind: BaseKind, pair: tuple[Planned, StoredRecord]
) -> tuple[Planned, StoredRecord, bool, str]:
    """The same, by the bytes of the image."""
    row, there = pair
    try:
        data = fetch(row.locator)
        other = hashlib.sha256(data).hexdigest() != there.sha256
        if other:
            checked_bytes(kind, data)
        return row, there, other or row.content != there.content, ""
    except (Refused, BadFile) as error:
        return row, there, False, str(error)


def compare_with_store(
    plan: ImportPlan,
    kind: BaseKind,
    images: bool,
    refusals: Refusals,
    describe: Callable[[Planned, StoredRecord], str],
    threads: int,
    progress: Progress | None,
) -> Compared:
    """Notes in the plan which rows differ from what the store has of their id, and counts them.

    images: read them. Then a row is refused whose image cannot be used, and the next one of its id
    counts.
    `describe` says in words what differs, of the first ones.
    """
    pairs = plan.there()
    read = partial(_read, kind)
    judged = prefetch(read, pairs, threads) if images else map(_glanced, pairs)
    settled, differing, refused, repeated, first = None, 0, 0, 0, []
    for done, (row, there, differs, reason) in enumerate(judged, 1):
        if settled and row.key == settled.key:
            repeated += row.content not in (settled.content, there.content)
        elif reason:
            refusals.add(row.where, row.image, reason)
            refused += 1
        else:
            settled = row
            if differs:
                plan.change(row, there)
                differing += 1
                first += [_told(row, describe(row, there))] if differing <= FIRST else []
        if progress and done % 100 == 0:
            progress(done, plan.already, "compared")
    return Compared(differing, first, refused, repeated)


def _told(row: Planned, words: str) -> dict[str, str]:
    return {"where": row.where, "id": json.loads(row.record)["id"], "change": words}


def describe_change(
    folder: Path,
    shards: list[Shard],
    kind: BaseKind,
    row: Planned,
    there: StoredRecord,
) -> str:
    """What the row changes of its record: `label 'cat' -> 'dog', split 'train' -> 'test'`."""
    lines = read_lines(folder, shards[there.shard], kind.record)
    [(old, _)] = islice(lines, there.line, there.line + 1)
    new = kind.record.model_validate_json(row.record)
    before, after = old.model_dump(), new.model_dump()
    fields = [name for name in before if name != "image" and before[name] != after[name]]
    shown = kind.shown
    words = [f"{name} {shown(before[name])} -> {shown(after[name])}" for name in fields]
    return ", ".join(words) or "another image"
