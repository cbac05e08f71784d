"""What an import will do: rows checked and in the store's order.

Those that cannot be used listed with the reason.
"""

import hashlib
import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from corpus.progress import Progress
from corpus.sources.rows import Refused, SourceRow
from corpus.store.classes import spelled
from corpus.store.posts import Record, faults, json_line

MAX_TAGS = 1000  # of one post; Instagram allows 30
EACH = 12  # rows of a reason, and reasons, that are kept to be shown
REASON = re.compile(r"[^:;,(\d'\"]*")
NEW = "from plan where key not in (select key from known)"
# a row that says what is stored comes before others of its id, then the order of an import
THERE = """select plan.*, known.* from plan join known on plan.key = known.key
order by shard, line, plan.content != known.content, plan.content, locator, place"""


class Refusals:
    """The list of what was not taken, as JSONL on disk, and its counts by reason: its words up
    to the first detail.
    """

    def __init__(self, path: Path, store: str):
        self.path, self.store = path, store
        self.counts: Counter[str] = Counter()
        self.first: list[dict] = []
        self._of: dict[str, list[dict]] = {}  # a few of each reason
        self._file = path.open("w", encoding="utf-8", newline="\n")

    def add(self, where: str, image: str, reason: str) -> None:
        """Takes down one row."""
        entry = {"store": self.store, "where": where, "image": image, "reason": reason}
        kind = REASON.match(reason)[0].strip()
        self.counts[kind] += 1
        self.first += [entry] if len(self.first) < 3 else []
        if len(self._of) < EACH or kind in self._of:
            group = self._of.setdefault(kind, [])
            group += [entry] if len(group) < EACH else []
        self._file.write(json_line(entry))

    def spread(self, most: int) -> list[dict]:
        """Some rows over all reasons: one of each before the second of any."""
        ranked = ((i, entry) for group in self._of.values() for i, entry in enumerate(group))
        return [entry for _, entry in sorted(ranked, key=lambda pair: pair[0])][:most]

    def close(self) -> None:
        """Ends the list."""
        self._file.close()


def record_of(fields: dict, model: type[Record]) -> Record:
    """The checked record of one row, its place in the store still open; Refused with the reason."""
    if len(fields.get("hashtags", ())) > MAX_TAGS:
        raise Refused(f"too many hashtags: {len(fields['hashtags']):,}, allowed are {MAX_TAGS:,}")
    if fields.get("label"):
        fields = fields | {"label": spelled(fields["label"])}
    try:
        return model(**fields | {"image": "pending"})
    except ValidationError as error:
        raise Refused(f"bad field: {faults(error)}") from None


class Planned(NamedTuple):
    """One row to import: SHA-256 of id and record, where its image is, where it was listed, the
    record as JSON.
    """

    key: str
    content: str
    locator: str
    where: str
    image: str
    record: str


WIDTH = len(Planned._fields)
COLUMNS = ", ".join(f"{name} text" for name in Planned._fields).replace("where", "place")


class StoredRecord(NamedTuple):
    """A record of the store: SHA-256 of id and record, its place, size and SHA-256 of its image."""

    key: str
    content: str
    shard: int
    line: int
    size: int
    sha256: str


class ImportPlan:
    """The rows to import in the store's order, in an SQLite file: sorted on disk, whatever their
    number.
    """

    def __init__(self, path: Path):
        path.unlink(missing_ok=True)
        self._db = sqlite3.connect(path)
        self._db.executescript(
            "pragma journal_mode = off; pragma synchronous = off;"
            f"create table plan ({COLUMNS});"
            "create table known (key text primary key, content text, shard integer, line integer,"
            " size integer, sha256 text) without rowid;"
            f"create table changes (at integer, row integer, {COLUMNS}, primary key (at, row));"
        )
        self.rows = self.already = 0

    def know(self, records: Iterable[StoredRecord]) -> None:
        """What the store has: rows with such an id are compared with it, and are not new."""
        self._db.executemany("insert or ignore into known values (?, ?, ?, ?, ?, ?)", records)

    def fill(
        self,
        rows: Iterable[SourceRow],
        model: type[Record],
        refusals: Refusals,
        progress: Progress | None,
    ) -> None:
        """Takes in the usable rows of the source, and lists the others."""
        self._db.executemany(
            f"insert into plan values ({', '.join('?' * WIDTH)})",
            _planned(rows, model, refusals, progress),
        )
        self._db.commit()
        total, self.rows = (
            self._db.execute(f"select count(*) {what}").fetchone()[0] for what in ("from plan", NEW)
        )
        self.already = total - self.rows

    def __iter__(self) -> Iterator[Planned]:
        """The rows that the store has not, in its order."""
        yield from map(
            Planned._make, self._db.execute(f"select * {NEW} order by key, content, locator, place")
        )

    def there(self) -> Iterator[tuple[Planned, StoredRecord]]:
        """The rows whose id the store has, beside what it has, in the order of its shards."""
        for row in self._db.execute(THERE):
            yield Planned._make(row[:WIDTH]), StoredRecord._make(row[WIDTH:])

    def change(self, row: Planned, known: StoredRecord) -> None:
        """Takes down that the row is to replace what is known."""
        marks = ", ".join("?" * (WIDTH + 2))
        self._db.execute(f"insert into changes values ({marks})", (known.shard, known.line, *row))

    def changed(self) -> list[int]:
        """The shards that hold rows to be replaced."""
        found = self._db.execute("select distinct at from changes order by at")
        return [shard for (shard,) in found]

    def changes(self, shard: int) -> Iterator[tuple[int, Planned]]:
        """(line, what replaces it) of one shard, in its order."""
        query = "select * from changes where at = ? order by row"
        for _, line, *row in self._db.execute(query, (shard,)):
            yield line, Planned._make(row)

    def close(self) -> None:
        """Closes the file."""
        self._db.close()


def hashed(text: str) -> str:
    """SHA-256 of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def _planned(
    rows: Iterable[SourceRow], model: type[Record], refusals: Refusals, progress: Progress | None
) -> Iterator[Planned]:
    for number, row in enumerate(rows, 1):
        try:
            if row.reason:
                raise Refused(row.reason)
            record = record_of(row.fields, model)
            text = record.model_dump_json()
            image = row.fields["image"]
            yield Planned(hashed(record.id), hashed(text), row.locator, row.where, image, text)
        except Refused as refused:
            refusals.add(row.where, row.fields["image"], str(refused))
        if progress and number % 1000 == 0:
            progress(number, None, "rows read")
