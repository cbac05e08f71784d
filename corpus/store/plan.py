"""What an import will do: rows checked and in the store's order; those that cannot be used listed with the reason."""

import hashlib
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from corpus.sources.rows import Progress, Refused, Row
from corpus.store.posts import Record, faults, json_line

MAX_TAGS = 1000  # of one post; Instagram allows 30
REASON = re.compile(r"[^:;,(\d'\"]*")
NEW = "from plan where key not in (select key from known)"


class Refusals:
    """The list of what was not taken, as JSONL on disk, and its counts by reason: its words up to the first detail."""

    def __init__(self, path: Path, store: str):
        self.path, self.store = path, store
        self.counts: Counter[str] = Counter()
        self.first: list[dict] = []
        self._file = path.open("w", encoding="utf-8", newline="\n")

    def add(self, where: str, image: str, reason: str) -> None:
        """Takes down one row."""
        entry = {"store": self.store, "where": where, "image": image, "reason": reason}
        self.counts[REASON.match(reason)[0].strip()] += 1
        self.first += [entry] if len(self.first) < 3 else []
        self._file.write(json_line(entry))

    def close(self) -> None:
        """Ends the list."""
        self._file.close()


def record_of(fields: dict, model: type[Record]) -> Record:
    """The checked record of one row, its place in the store still open; Refused with the reason."""
    if len(fields.get("hashtags", ())) > MAX_TAGS:
        raise Refused(f"too many hashtags: {len(fields['hashtags']):,}, allowed are {MAX_TAGS:,}")
    try:
        return model(**fields | {"image": "pending"})
    except ValidationError as error:
        raise Refused(f"bad field: {faults(error)}") from None


class Planned(NamedTuple):
    """One row to import: SHA-256 of id and record, where its image is, where it was listed, the record as JSON."""

    key: str
    content: str
    locator: str
    where: str
    image: str
    record: str


class Plan:
    """The rows to import in the store's order, in an SQLite file: sorted on disk, whatever their number."""

    def __init__(self, path: Path):
        path.unlink(missing_ok=True)
        self._db = sqlite3.connect(path)
        self._db.executescript(
            "pragma journal_mode = off; pragma synchronous = off;"
            f"create table plan ({', '.join(f'{name} text' for name in Planned._fields).replace('where', 'place')});"
            "create table known (key text primary key) without rowid;"
        )
        self.rows = self.already = 0

    def know(self, ids: Iterable[str]) -> None:
        """Ids that the store has: their rows are passed over."""
        self._db.executemany("insert or ignore into known values (?)", ((_hash(key),) for key in ids))

    def fill(self, rows: Iterable[Row], model: type[Record], refusals: Refusals, progress: Progress | None) -> None:
        """Takes in the usable rows of the source, and lists the others."""
        self._db.executemany(
            f"insert into plan values ({', '.join('?' * len(Planned._fields))})",
            _planned(rows, model, refusals, progress),
        )
        self._db.commit()
        total, self.rows = (self._db.execute(f"select count(*) {what}").fetchone()[0] for what in ("from plan", NEW))
        self.already = total - self.rows

    def __iter__(self) -> Iterator[Planned]:
        """The rows that the store has not, in its order."""
        yield from map(Planned._make, self._db.execute(f"select * {NEW} order by key, content, locator, place"))

    def close(self) -> None:
        """Closes the file."""
        self._db.close()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _planned(
    rows: Iterable[Row], model: type[Record], refusals: Refusals, progress: Progress | None
) -> Iterator[Planned]:
    for number, row in enumerate(rows, 1):
        try:
            if row.reason:
                raise Refused(row.reason)
            record = record_of(row.fields, model)
            text = record.model_dump_json()
            yield Planned(_hash(record.id), _hash(text), row.locator, row.where, row.fields["image"], text)
        except Refused as refused:
            refusals.add(row.where, row.fields["image"], str(refused))
        if progress and number % 1000 == 0:
            progress(number, None, "rows read")
