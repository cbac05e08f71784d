"""Rows of a source into the data store: planned in a canonical order, each image checked, whole
shards kept on the way.

The order is that of the ids' SHA-256, so the same posts give the same bytes however they come; of
several rows with one id the first usable one in that order stays. A run that ends early (Ctrl-C,
kill -9, full disk, S3 down) leaves its finished shards beside the store, and the next run of the
same import goes on from there.
"""

import shutil
from collections.abc import Collection, Iterable, Mapping
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from corpus.media.faults import BadFile
from corpus.progress import Progress
from corpus.records.kind import BaseKind
from corpus.sources.rows import Refused, SourceRow, prefetch
from corpus.sources.source import fetch
from corpus.store import write
from corpus.store.account import (
    Import,
    Unusable,
    class_fields,
    import_account,
    looked_at,
    nothing,
    told_of,
)
from corpus.store.checking import checked_bytes
from corpus.store.classes import classes_of
from corpus.store.compare import (
    Compared,
    compare_with_store,
    describe_change,
    stored_records,
)
from corpus.store.finished import Chain, Finished, take_back
from corpus.store.plan import ImportPlan, Planned, Refusals
from corpus.store.quarantine import note_refused
from corpus.store.read import (
    STORE,
    Shard,
    place_of,
    shards_of,
    total,
    usual_kind,
    wanted_kind,
)
from corpus.store.rewrite import linked, named_record, rewritten
from corpus.store.write import StoreWriter, bounded_disk, keep_extras, locked, write_list

HELD = 4  # videos that are read at a time: each may have 200 MB


def ahead_of(kind: BaseKind) -> int:
    """How many images, or videos, are read at a time."""
    return HELD if kind.media == "video" else 16


def load_image(kind: BaseKind, row: Planned) -> tuple[Planned, bytes, str, str]:
    """(row, image or video, its ending, why it is refused) - the last empty if it is not."""
    try:
        data = fetch(row.locator)
        ending, width, height = checked_bytes(kind, data)
    except (Refused, BadFile) as error:
        return row, b"", "", str(error)
    if kind.sized:
        try:
            record = kind.record.model_validate_json(row.record)
            kind.check_image(record, width, height)
        except ValueError as error:
            return row, b"", "", str(error)
    return row, data, ending, ""


class Ingest:
    """One import into the store `name` (posts, or targets/<set>) of the folder `data`."""

    least = 2  # classes of a labelled set

    def __init__(
        self,
        data: Path,
        name: str,
        kind: str | None,
        replace: bool,
        update: bool,
        shard_bytes: int,
    ):
        self.data, self.name, self.replace, self.update = data, name, replace, update
        self.folder = place_of(data, name)
        write.recover(self.folder)
        self.kind = wanted_kind(self.folder, name, kind, replace)
        # what a store's name says is not written: stores from before there were kinds stay as they
        # are, to the byte
        self.listed_kind = self.kind.name if self.kind.name != usual_kind(name) else ""
        self.part = self.folder.with_name(f".{self.folder.name}.part")
        self.shards = self.part / "shards"
        self.shards.mkdir(parents=True, exist_ok=True)
        self.old = [] if replace or not (self.folder / STORE).exists() else shards_of(self.folder)
        if not replace:
            take_back(self.folder, self.old, self.shards)
        self.refusals = Refusals(self.part / "refused.jsonl", name)
        header = {"base": total(self.old), "name": name, "shard_bytes": shard_bytes}
        header["kind"] = self.kind.name
        self.finished = Finished(self.part / "finished.jsonl", header)
        self.shard_bytes, self.result = shard_bytes, None
        self.whole: list[Shard] = []  # of the store after the import

    def prepare(self, rows: Iterable[SourceRow], threads: int, progress: Progress | None) -> None:
        """Plans, and writes what is new beside the store, which stays as it is.

        Unusable if there is nothing, or one class alone.
        """
        with bounded_disk(self.part), closing(ImportPlan(self.part / "plan.sqlite")) as plan:
            plan.know(stored_records(self.folder, self.old, self.kind.record))
            plan.fill(rows, self.kind, self.refusals, progress)
            self.whole = self._write(plan, threads, progress)
            kept = sum(shard.records for shard in self.whole[len(self.old) :])
            if not kept and not plan.already:
                raise nothing(self.folder, self.refusals)
            describe = partial(describe_change, self.folder, self.old, self.kind)
            found = compare_with_store(
                plan, self.kind, self.update, self.refusals, describe, threads, progress
            )
            changed = self._rewrite(plan, threads, progress) if self.update else 0
            self.refusals.close()
            self.result = self._account(kept, plan, changed, found)

    def _rewrite(self, plan: ImportPlan, threads: int, progress: Progress | None) -> int:
        given = self.kind.record, partial(load_image, self.kind), self.refusals, threads, progress
        old, count = rewritten(self.folder, self.old, self.shards, plan, *given)
        self.whole = [*old, *self.whole[len(old) :]]
        return count

    def _account(self, kept: int, plan: ImportPlan, changed: int, found: Compared) -> Import:
        result = import_account(kept, plan.already, changed, found, self.refusals, self.update)
        result = result._replace(digest=total(self.whole), joined=plan.joined)
        if not self.kind.has_split:
            return result
        there = {(shard.name, shard.lines) for shard in self.old}
        homes = {True: self.folder, False: self.shards}
        places = ((homes[(shard.name, shard.lines) in there], shard) for shard in self.whole)
        classes = classes_of(places, self.kind)
        least = min(self.least, self.kind.least)
        return result._replace(**class_fields(self.folder.name, classes, self.kind, least))

    def _write(self, plan: ImportPlan, threads: int, progress: Progress | None) -> list[Shard]:
        """Fetches, checks and stores the planned images, from the first row that no finished
        shard holds.
        """
        self.finished.keep(plan, self.shards)
        names = {shard.name for shard in self.finished.shards}
        for path in self.shards.iterdir():  # of another import, or half written
            if path.stem not in names:
                path.unlink()
        for refusal in self.finished.refused:
            self.refusals.add(*refusal)
        done, last, refused = self.finished.rows, self.finished.last, []
        so_far = Chain()
        rows, load = iter(plan), partial(load_image, self.kind)
        so_far.update(islice(rows, done))
        with closing(
            StoreWriter(self.shards, [*self.old, *self.finished.shards], self.shard_bytes)
        ) as writer:
            for row, data, form, reason in prefetch(load, rows, threads, ahead_of(self.kind)):
                record = self.kind.record.model_validate_json(row.record)
                if not reason and record.id == last:
                    reason = f"duplicate id: {record.id!r} occurs more than once"
                if reason:
                    refused.append((row.where, row.image, reason))
                    self.refusals.add(*refused[-1])
                else:
                    writer.add(named_record(record, row, form), data)
                    last = record.id
                done += 1
                so_far.update([row])
                if writer.full:
                    self.finished.add(writer.finish(), done, so_far, last, refused)
                    refused = []
                if progress:
                    progress(done, plan.rows, "import")
            writer.finish()
            return writer.shards

    def commit(self) -> Import:
        """Puts what was prepared in place."""
        with bounded_disk(self.part):
            # first: a run killed after the swap passes over stored ids and refuses none of them
            note_refused(
                self.data / "quarantine.jsonl", self.refusals.path, self.name, self.replace
            )
            self._put()
        shutil.rmtree(self.part)
        return self.result

    def _put(self) -> None:
        """The finished shards become the store, continue it, or replace it with rewritten ones."""
        if self.replace or not self.old or self.result.changed:
            linked(self.folder, self.whole, self.shards)
            write_list(self.shards, self.whole, self.listed_kind)
            keep_extras(self.folder, self.shards)
            write.swap(self.shards, self.folder)
            return
        for path in sorted(self.shards.iterdir()):
            path.replace(self.folder / path.name)
        write_list(self.folder, self.whole, self.listed_kind)

    def discard(self) -> None:
        """Takes away what was prepared."""
        self.refusals.close()
        shutil.rmtree(self.part)


def ingest_all(
    sources: Mapping[str, Iterable[SourceRow]],
    data: Path,
    replaced: Collection[str] = (),
    update: bool = False,
    shard_bytes: int = 64 << 20,
    least: int = 2,
    threads: int = 8,
    progress: Progress | None = None,
    kind: str | None = None,
    posts_kind: str | None = None,
) -> dict[str, Import]:
    """Adds the rows of each source to the store data/<name>: "posts", or "targets/<set>".

    `kind`: of the labelled set; what the store has, or else labels, where it is not given.
    `posts_kind`: likewise of the posts.
    Stores in `replaced` are put in place of older ones; with `update` records whose id is there are
    replaced where the source says otherwise. All is prepared before any store changes.
    Unusable, also for fewer than `least` classes: nothing has changed. ValueError if S3 fails, the
    disk is full or another process writes: the same import goes on when it is run again.
    """
    rows = {name: looked_at(each) for name, each in sources.items()}
    jobs: dict[str, Ingest] = {}
    with locked(data):
        try:
            # labels first: they are few, and what is wrong with them is told before a day of posts
            for name in sorted(sources, key=lambda name: name == "posts"):
                asked = posts_kind if name == "posts" else kind
                jobs[name] = Ingest(data, name, asked, name in replaced, update, shard_bytes)
                jobs[name].least = least
                show = progress and partial(told_of, progress, name)
                jobs[name].prepare(rows[name], threads, show)
        except Unusable:
            for job in jobs.values():
                job.discard()
            raise
        return {name: jobs[name].commit() for name in sources}


def ingest(
    rows: Iterable[SourceRow], data: Path, name: str, replace: bool = False, **how: Any
) -> Import:
    """`ingest_all` of one source, whatever its classes."""
    return ingest_all({name: rows}, data, [name] if replace else [], **{"least": 1} | how)[name]
