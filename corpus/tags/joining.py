"""The tags of a store read shard by shard, maybe by other processes, and joined to one table.

What is costly of a shard (its JSON, normalising, sorting the forms of each post) is done apart;
joining gives the forms of all shards common numbers. The joined table is the one that a single pass
over all posts gives: forms are numbered as they first come, in the order of the shards.
"""

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from corpus.progress import Progress, unseen
from corpus.spread import Spread
from corpus.store.read import Shard, read_table
from corpus.tags.table import LISTED, TagTable, distinct

FIELDS = {"id": pa.string(), "user": pa.string(), "hashtags": pa.list_(pa.string())}
NUMBERS = ("typed", "too_long")  # that add up; joining counts the posts anew


def tag_shard(store: Path, shard: Shard, folder: Path, max_tags: int) -> None:
    """Reads the tags of one shard into `folder`: the files of a TagTable, and what it holds."""
    table = TagTable.build(read_table(store, shard, FIELDS).to_batches(), folder, max_tags)
    pq.write_table(pa.table({"form": table.forms}), folder / "forms.parquet")
    about = {name: getattr(table, name) for name in (*NUMBERS, "listed", "cased", "unusable")}
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


def _append(table: TagTable, part: Path) -> None:
    """One shard's posts behind those of the table, whose numbers its forms get."""
    about = json.loads((part / "about.json").read_text(encoding="utf-8"))
    column = pq.read_table(part / "forms.parquet")["form"].combine_chunks()
    known = table.intern(column.cast(pa.large_string()))
    sizes = np.fromfile(part / "sizes.i32", np.int32)
    posts = np.repeat(np.arange(len(sizes), dtype=np.int64) << 32, sizes)
    # sorted anew within each post: the common numbers have another order than the shard's
    ids, lengths = distinct(posts | known[np.fromfile(part / "forms.i32", np.int32)], len(sizes))
    table.count(ids, lengths)
    with (table.folder / "forms.i32").open("ab") as file:
        ids.tofile(file)
    with (table.folder / "sizes.i32").open("ab") as file:
        lengths.astype(np.int32).tofile(file)
    with (part / "users.u64").open("rb") as users, (table.folder / "users.u64").open("ab") as file:
        shutil.copyfileobj(users, file)
    table.typed += about["typed"]
    table.too_long += about["too_long"]
    table.unusable += Counter(about["unusable"])
    table.listed += [(key, tags) for key, tags in about["listed"]][: LISTED - len(table.listed)]
    for form, tag in about["cased"].items():
        table.cased[form] = min(tag, table.cased.get(form, tag))


def join(parts: Sequence[Path], folder: Path, max_tags: int) -> TagTable:
    """The table of all posts, in `folder`, of the parts that `tag_shard` has left; it removes them.

    In memory are one shard's tags, and what grows with the distinct ones.
    """
    table = TagTable(folder, max_tags)
    for part in parts:
        _append(table, part)
        shutil.rmtree(part)
    table.finish()
    return table


def tags_of(
    store: Path,
    shards: Sequence[Shard],
    folder: Path,
    spread: Spread,
    progress: Progress = unseen,
    max_tags: int = 1000,
) -> TagTable:
    """The tags of a store's shards in `folder`, each shard's read by `spread`."""
    done = 0

    def told(place: int) -> None:
        nonlocal done
        done += shards[place].records
        progress(done, None, "hashtags")

    parts = [folder.resolve() / f"part-{place:05d}" for place in range(len(shards))]
    calls = []
    for shard, part in zip(shards, parts, strict=True):
        calls.append((store.resolve(), shard, part, max_tags))
    spread.map(tag_shard, calls, told)
    return join(parts, folder, max_tags)
