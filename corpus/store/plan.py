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
from corpus.records.kind import BaseKind
from corpus.records.record import Record, faults, json_line
from corpus.sources.rows import Refused, SourceRow

EACH = 12  # rows of a reason, and reasons, that are kept to be shown
REASON = re.compile(r"[^:;,(\d'\"]*")
# in an order of their own, lest the order of the source decide what is refused first
JOINING = """create index of_key on plan (key, locator);
create temp table several as select key, locator from plan group by key, locator
having count(*) > 1 order by key, locator;"""
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


def record_of(fields: dict, kind: BaseKind) -> Record:
    """The checked record of one row, its place in the store still open; Refused with the reason."""
    try:
        return kind.record(**kind.checked(fields) | {"image": "pending"})
    except ValidationError as error:
        raise Refused(f"bad field: {faults(error)}") from None
    except ValueError as error:
        raise Refused(str(error)) from None


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
        self.rows = self.already = self.joined = 0

    def know(self, records: Iterable[StoredRecord]) -> None:
        """What the store has: rows with such an id are compared with it, and are not new."""
        self._db.executemany("insert or ignore into known values (?, ?, ?, ?, ?, ?)", records)

    def fill(
        self,
        rows: Iterable[SourceRow],
        kind: BaseKind,
        refusals: Refusals,
        progress: Progress | None,
    ) -> None:
        """Takes in the usable rows of the source, and lists the others."""
        self._db.executemany(
            f"insert into plan values ({', '.join('?' * WIDTH)})",
            _planned(rows, kind, refusals, progress),
        )
        if kind.joins:
            self._join(kind, refusals)
        self._db.commit()
        total, self.rows = (
            self._db.execute(f"select count(*) {what}").fetchone()[0] for what in ("from plan", NEW)
        )
        self.already = total - self.rows

    def _join(self, kind: BaseKind, refusals: Refusals) -> None:
        """Makes one row of those that have an id and an image in common."""
        self._db.executescript(JOINING)
        for key, locator in self._db.execute("select key, locator from several"):
            one = "from plan where key = ? and locator = ?"
            order = f"select * {one} order by content, place"
            rows = [*map(Planned._make, self._db.execute(order, (key, locator)))]
            self._db.execute(f"delete {one}", (key, locator))
            try:
                record = kind.joined([kind.record.model_validate_json(row.record) for row in rows])
            except ValueError as error:
                for row in rows:
                    refusals.add(row.where, row.image, str(error))
                continue
            self.joined += len(rows) - 1
            text = record.model_dump_json()
            whole = rows[0]._replace(content=hashed(text), record=text)
            self._db.execute(f"insert into plan values ({', '.join('?' * WIDTH)})", whole)

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
    rows: Iterable[SourceRow], kind: BaseKind, refusals: Refusals, progress: Progress | None
) -> Iterator[Planned]:
    for number, row in enumerate(rows, 1):
        try:
            if row.reason:
                raise Refused(row.reason)
            record = record_of(row.fields, kind)
            text = record.model_dump_json()
            image = row.fields["image"]
            yield Planned(hashed(record.id), hashed(text), row.locator, row.where, image, text)
        except Refused as refused:
            refusals.add(row.where, row.fields["image"], str(refused))
        if progress and number % 1000 == 0:
            progress(number, None, "rows read")
