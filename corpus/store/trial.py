"""What an import would do, without doing it: the same rows read, images checked, the same account.

Of many rows the images of the first IMAGES in the store's order are looked at, which is that of the
ids' hashes: a random sample that is the same each time. The rows themselves are all read.
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import closing, nullcontext
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from corpus.media.faults import BadFile
from corpus.progress import Progress
from corpus.records.kind import BaseKind
from corpus.records.record import Record
from corpus.sources.rows import SourceRow, prefetch
from corpus.store.account import (
    Import,
    Unusable,
    class_fields,
    import_account,
    looked_at,
    nothing,
    told_of,
)
from corpus.store.checking import thumbnail
from corpus.store.classes import Classes, classes_of
from corpus.store.compare import Compared, compare_with_store, describe_change, stored_records
from corpus.store.ingest import ahead_of, load_image
from corpus.store.plan import ImportPlan, Refusals
from corpus.store.read import STORE, place_of, read_lines, shards_of, wanted_kind
from corpus.store.write import locked

IMAGES, VIDEOS = 5_000, 1_000  # looked at: a minute or two of photographs, or of films
SHOWN, EACH, REFUSED = 40, 4, 12  # pictures of a sheet, those of one class, refused rows
SIDE = 160  # pixels of a thumbnail


class Picture(NamedTuple):
    """One image of a sheet: a square JPEG, id, class or hashtags as typed, split."""

    jpeg: bytes
    id: str
    words: tuple[str, ...]
    split: str


class Tried(NamedTuple):
    """What an import of one source would do, and what a preview shows of it."""

    result: Import
    pictures: list[Picture]
    refused: list[dict]
    classes: Classes
    checked: int  # images that were looked at, of the new rows
    rows: int  # new rows
    error: str  # why the import would be refused as a whole


class _Chosen:
    """The pictures of a sheet: of each class a few, the first of each class before the second."""

    def __init__(self, kind: BaseKind):
        self._kind = kind
        self._of: dict[str, list[Picture]] = {}

    def add(self, record: Record, data: bytes) -> None:
        """Takes one more, where there is room for it."""
        words = self._kind.words(record)
        group = words[0] if self._kind.least and words else ""
        most = EACH if group else SHOWN
        if len(self._of.get(group, ())) < most and (group in self._of or len(self._of) < SHOWN):
            try:
                jpeg = thumbnail(self._kind, data, SIDE)
            except BadFile:  # it was whole at reduced size
                return
            split = record.split if self._kind.has_split else ""
            self._of.setdefault(group, []).append(Picture(jpeg, record.id, words, split))

    def pictures(self) -> list[Picture]:
        """At most SHOWN, class by class."""
        groups = self._of.values()
        rounds = [group[i] for i in range(SHOWN) for group in groups if i < len(group)]
        return sorted(rounds[:SHOWN], key=lambda picture: picture.words if picture.split else ())


class TrialImport:
    """One import into the store `name` of `data`, tried; the folder `scratch` holds its plan."""

    def __init__(
        self,
        data: Path,
        name: str,
        kind: str | None,
        replace: bool,
        update: bool,
        scratch: Path,
    ):
        self.name, self.update = name, update
        self.folder = place_of(data, name)
        self.kind = wanted_kind(self.folder, name, kind, replace)
        self.model = self.kind.record
        there = not replace and (self.folder / STORE).exists()
        self.old = shards_of(self.folder) if there else []
        self.place = scratch / name
        self.place.mkdir(parents=True)
        self.refusals = Refusals(self.place / "refused.jsonl", name)
        self.chosen, self.classes = _Chosen(self.kind), Classes()
        self.kept = self.checked = 0
        self.most = VIDEOS if self.kind.media == "video" else IMAGES

    def run(self, rows: Iterable[SourceRow], threads: int, progress: Progress | None) -> Tried:
        """Reads the rows, looks at images, compares with what is there."""
        describe = partial(describe_change, self.folder, self.old, self.kind)
        with closing(ImportPlan(self.place / "plan.sqlite")) as plan:
            plan.know(stored_records(self.folder, self.old, self.model))
            plan.fill(rows, self.kind, self.refusals, progress)
            self._look(plan, threads, progress)
            images = self.update and plan.already <= self.most
            asked = self.kind, images, self.refusals, describe, threads, progress
            found = compare_with_store(plan, *asked)
            if self.kind.has_split:
                self._count(plan)
            result = self._account(plan, found)
            self.refusals.close()
            return self._tried(result, plan)

    def _look(self, plan: ImportPlan, threads: int, progress: Progress | None) -> None:
        """Passes the new rows through an import's checks, the images of the first IMAGES too."""
        rows = iter(plan)
        total, last = plan.rows, ""
        load, some = partial(load_image, self.kind), islice(rows, self.most)
        looked = prefetch(load, some, threads, ahead_of(self.kind))
        unseen = ((row, b"", "", "") for row in rows)
        for done, (row, data, _, reason) in enumerate(chain(looked, unseen), 1):
            if not reason and row.key == last:
                reason = "duplicate id: it occurs more than once"
            if reason:
                self.refusals.add(row.where, row.image, reason)
            else:
                last = row.key
                self._take(self.model.model_validate_json(row.record), data)
            if progress and done % 100 == 0:
                progress(done, total, "checked")
        self.checked = min(total, self.most)

    def _take(self, record: Record, data: bytes) -> None:
        self.kept += 1
        if data:
            self.chosen.add(record, data)
        self._counted(record)

    def _counted(self, record: Record, number: int = 1) -> None:
        if self.kind.has_split:
            names = self.kind.words(record) if self.kind.least else ()
            self.classes.add(names, record.split, number)

    def _count(self, plan: ImportPlan) -> None:
        """Adds the classes that the store has, after its corrections."""
        self.classes.include(classes_of(((self.folder, shard) for shard in self.old), self.kind))
        for number in plan.changed() if self.update else ():
            changes = dict(plan.changes(number))
            for line, (old, _) in enumerate(read_lines(self.folder, self.old[number], self.model)):
                if line in changes:
                    self._counted(self.model.model_validate_json(changes[line].record))
                    self._counted(old, -1)

    def _account(self, plan: ImportPlan, found: Compared) -> Import:
        changed = found.differing if self.update else 0
        counts = self.kept, plan.already, changed, found
        result = import_account(*counts, self.refusals, self.update)
        return result._replace(joined=plan.joined)

    def _tried(self, result: Import, plan: ImportPlan) -> Tried:
        """The result with its classes, and why an import would refuse all of it."""
        refused, error = self.refusals.spread(REFUSED), ""
        try:
            if not self.kept and not plan.already:
                raise nothing(self.folder, self.refusals)
            if self.kind.has_split:
                fields = class_fields(self.folder.name, self.classes, self.kind)
                result = result._replace(**fields)
        except Unusable as unusable:
            error = str(unusable)
        seen = self.checked, plan.rows
        return Tried(result, self.chosen.pictures(), refused, self.classes, *seen, error)


def try_all(
    sources: Mapping[str, Iterable[SourceRow]],
    data: Path,
    scratch: Path,
    replaced: Collection[str] = (),
    update: bool = False,
    threads: int = 8,
    progress: Progress | None = None,
    kind: str | None = None,
    posts_kind: str | None = None,
) -> dict[str, Tried]:
    """What `ingest_all` would do with these sources; only the new folder `scratch` is written to.

    ValueError if a source cannot be read, or another process writes to `data`.
    """
    rows = {name: looked_at(each) for name, each in sources.items()}
    with locked(data) if data.is_dir() else nullcontext():
        jobs = {}
        for name in sources:
            asked = posts_kind if name == "posts" else kind
            jobs[name] = TrialImport(data, name, asked, name in replaced, update, scratch)
        return {
            name: job.run(rows[name], threads, progress and partial(told_of, progress, name))
            for name, job in jobs.items()
        }
