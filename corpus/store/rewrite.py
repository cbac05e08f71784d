"""A store with some of its records replaced: their shards are written anew, the others linked."""

import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from corpus.progress import Progress
from corpus.records.record import Record
from corpus.sources.rows import prefetch
from corpus.store.plan import ImportPlan, Planned, Refusals
from corpus.store.read import Shard, read_shard
from corpus.store.write import StoreWriter

Loaded = tuple[Planned, bytes, str, str]  # row, image, its format, why it is refused


def rewritten(
    folder: Path,
    shards: list[Shard],
    into: Path,
    plan: ImportPlan,
    model: type[Record],
    load: Callable[[Planned], Loaded],
    refusals: Refusals,
    threads: int,
    progress: Progress | None,
) -> tuple[list[Shard], int]:
    """(the shards of a store after the plan's changes, the number of records replaced).

    A shard with a change is written anew under its name into the folder `into`, each record at its
    place; so corrected labels leave its tar, and what was made of that, as it is.
    """
    found, count = list(shards), 0
    changed = plan.changed()
    for done, number in enumerate(changed):
        loaded = prefetch(partial(_loaded, load), plan.changes(number), threads)
        with closing(StoreWriter(into, shards[:number], math.inf)) as writer:
            count += _rewrite(writer, read_shard(folder, shards[number], model), loaded, refusals)
            found[number] = writer.finish()
        assert found[number].name == shards[number].name, found[number].name
        if progress:
            progress(done + 1, len(changed), "shards rewritten")
    return found, count


def _loaded(load: Callable[[Planned], Loaded], change: tuple[int, Planned]) -> tuple[int, Loaded]:
    return change[0], load(change[1])


def _rewrite(
    writer: StoreWriter,
    records: Iterator[tuple[Record, bytes]],
    changes: Iterator[tuple[int, Loaded]],
    refusals: Refusals,
) -> int:
    """One shard's records with those that replace some of them; the number of these."""
    count, change = 0, next(changes, None)
    for line, (record, data) in enumerate(records):
        if change and change[0] == line:
            row, image, form, reason = change[1]
            if reason:  # usable when it was compared, and not now: what is stored stays
                refusals.add(row.where, row.image, reason)
            else:
                count += 1
                fields = type(record).model_validate_json(row.record)
                record, data = named_record(fields, row, form), image
            change = next(changes, None)
        writer.add(record, data)
    return count


def named_record(record: Record, row: Planned, form: str) -> Record:
    """The record with its image's name in the tar."""
    return record.model_copy(update={"image": f"{row.key[:20]}.{form}"})


def linked(folder: Path, shards: Iterable[Shard], into: Path) -> None:
    """The files of shards that `into` has not, as hard links (copies where there are none)."""
    for shard in shards:
        for kind in ("tar", "jsonl"):
            name = f"{shard.name}.{kind}"
            if not (into / name).exists():
                try:
                    os.link(folder / name, into / name)
                except OSError:  # a file system without links
                    shutil.copy2(folder / name, into / name)
