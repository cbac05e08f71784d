"""Rows of a source into the data store: planned in a canonical order, each image checked, whole shards kept on the way.

The order is that of the ids' SHA-256, so the same posts give the same bytes however they come; of several rows with one
id the first usable one in that order stays. A run that ends early (Ctrl-C, kill -9, full disk, S3 down) leaves its
finished shards beside the store, and the next run of the same import goes on from there.
"""

import errno
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from corpus.names import checked_name, within
from corpus.shards.images import BadImage, checked
from corpus.sources.rows import Progress, Refused, Row, prefetch
from corpus.sources.source import fetch
from corpus.store.finished import Chain, Finished
from corpus.store.plan import Plan, Planned, Refusals
from corpus.store.posts import Label, Post, Record
from corpus.store.quarantine import note
from corpus.store.read import STORE, Shard, read_records, shards_of, total
from corpus.store.write import StoreWriter, keep_extras, locked, recover, swap, write_list

LEAST = 64  # pixels: a larger JPEG is decoded at reduced size, which is enough to know that it is whole
MODELS = {"posts": Post, "labels": Label}
ENDINGS = {"JPEG": "jpg", "TIFF": "tif"}
FULL = (errno.ENOSPC, errno.EDQUOT)


class Import(NamedTuple):
    """Records added, rows whose id was there already, rows refused by reason, the first of them; the new digest."""

    kept: int
    already: int
    refused: dict[str, int]
    first: list[dict]
    digest: str


@contextmanager
def _disk(part: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        if isinstance(error, OSError) and error.errno not in FULL:
            raise
        if isinstance(error, sqlite3.OperationalError) and "full" not in str(error):
            raise
        raise ValueError(
            f"the disk is full while writing to {part}: free some space and run the same import again, it goes on from "
            "its last finished shard; the store itself has not been changed"
        ) from None


def _load(row: Planned) -> tuple[Planned, bytes, str, str]:
    """(row, image, its format, why it is refused) - the last empty if it is not."""
    try:
        data = fetch(row.locator)
        return row, data, ENDINGS.get(form := checked(data, LEAST).format, form.lower()), ""
    except (Refused, BadImage) as error:
        return row, b"", "", str(error)


def place_of(data: Path, name: str) -> Path:
    """The folder of the store `posts` or targets/<set>; ValueError for any other, or one outside of `data`."""
    if name != "posts":
        head, _, target = name.partition("/")
        assert head == "targets", name
        checked_name(target, "name of the labelled set")
    return within(data / name, data)


class Ingest:
    """One import into the store `name` (posts, or targets/<set>) of the folder `data`."""

    def __init__(self, data: Path, name: str, replace: bool, shard_bytes: int):
        self.data, self.name, self.replace = data, name, replace
        self.model = MODELS["posts" if name == "posts" else "labels"]
        self.folder = place_of(data, name)
        recover(self.folder)
        self.part = self.folder.with_name(f".{self.folder.name}.part")
        self.shards = self.part / "shards"
        self.shards.mkdir(parents=True, exist_ok=True)
        self.old = [] if replace or not (self.folder / STORE).exists() else shards_of(self.folder)
        self._take_back()
        self.refusals = Refusals(self.part / "refused.jsonl", name)
        header = {"base": total(self.old), "name": name, "shard_bytes": shard_bytes}
        self.finished = Finished(self.part / "finished.jsonl", header)
        self.shard_bytes = shard_bytes

    def _take_back(self) -> None:
        """Shards that a killed run moved into the store but did not list."""
        listed = {shard.name for shard in self.old}
        if not self.replace:
            for stray in self.folder.glob("[0-9]*.*"):
                if stray.suffix in (".tar", ".jsonl") and stray.stem not in listed:
                    stray.replace(self.shards / stray.name)

    def run(self, rows: Iterable[Row], threads: int, progress: Progress | None) -> Import:
        """Plans, writes, and puts the result in place."""
        with _disk(self.part), closing(Plan(self.part / "plan.sqlite")) as plan:
            if self.old:
                plan.know(record.id for record in read_records(self.folder, Record))
            plan.fill(rows, self.model, self.refusals, progress)
            shards = self._write(plan, threads, progress)
            self.refusals.close()
            kept = sum(shard.records for shard in shards) - sum(shard.records for shard in self.old)
            if not kept and not plan.already:
                why = f"; the first: {self.refusals.first[0]}" if self.refusals.first else ""
                raise ValueError(f"nothing could be imported into {self.folder}{why}; check the source and its images")
            # before the commit: a run that is killed after it passes over stored ids and would not refuse them again
            note(self.data / "quarantine.jsonl", self.refusals.path, self.name, self.replace)
            digest = self._commit(shards)
        shutil.rmtree(self.part)
        return Import(kept, plan.already, dict(self.refusals.counts), self.refusals.first, digest)

    def _write(self, plan: Plan, threads: int, progress: Progress | None) -> list[Shard]:
        """Fetches, checks and stores the planned images, from the first row that no finished shard holds."""
        self.finished.keep(plan, self.shards)
        for path in self.shards.iterdir():  # of another import, or half written
            if path.stem not in {shard.name for shard in self.finished.shards}:
                path.unlink()
        for refusal in self.finished.refused:
            self.refusals.add(*refusal)
        done, last, refused = self.finished.rows, self.finished.last, []
        chain = Chain()
        rows = iter(plan)
        chain.update(islice(rows, done))
        with closing(StoreWriter(self.shards, [*self.old, *self.finished.shards], self.shard_bytes)) as writer:
            for row, data, form, reason in prefetch(_load, rows, threads):
                record = self.model.model_validate_json(row.record)
                if not reason and record.id == last:
                    reason = f"duplicate id: {record.id!r} occurs more than once"
                if reason:
                    refused.append((row.where, row.image, reason))
                    self.refusals.add(*refused[-1])
                else:
                    writer.add(record.model_copy(update={"image": f"{row.key[:20]}.{form}"}), data)
                    last = record.id
                done += 1
                chain.update([row])
                if writer.full:
                    self.finished.add(writer.finish(), done, chain, last, refused)
                    refused = []
                if progress:
                    progress(done, plan.rows, "import")
            writer.finish()
            return writer.shards

    def _commit(self, shards: list[Shard]) -> str:
        """The finished shards become the store, or its continuation."""
        if self.replace or not self.old:
            digest = write_list(self.shards, shards)
            keep_extras(self.folder, self.shards)
            swap(self.shards, self.folder)
            return digest
        for path in sorted(self.shards.iterdir()):
            path.replace(self.folder / path.name)
        return write_list(self.folder, shards)


def ingest(
    rows: Iterable[Row],
    data: Path,
    name: str,
    replace: bool = False,
    shard_bytes: int = 64 << 20,
    threads: int = 8,
    progress: Progress | None = None,
) -> Import:
    """Adds rows to the store data/<name>: "posts", or "targets/<set>" for labels; with `replace`, in place of it.

    ValueError if S3 fails, the disk is full, another process writes, or no row is left; the store is then as before.
    """
    with locked(data):
        return Ingest(data, name, replace, shard_bytes).run(rows, threads, progress)
