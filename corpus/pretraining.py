"""The shards of the posts: each with its classes, some held out for validation."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa

from corpus.checksums import write_checksums
from corpus.records.kind import class_lists
from corpus.sources.rows import number_of
from corpus.store.indexing import IndexWriter
from corpus.store.read import read_table
from corpus.store.squares import Store, link_tars
from corpus.store.write import replacing

PEOPLE = {"id": pa.string(), "user": pa.string()}


def for_validation(key: str, user: str | None, share: float) -> bool:
    """Whether a post is for validation, so that nobody is on both sides.

    Its user decides where known, else its id.
    """
    return number_of(f"user:{user}" if user else f"id:{key}") < share * 2**64


def _splits(people: pa.Table, holdout: float) -> list[str]:
    pairs = zip(people["id"].to_pylist(), people["user"].to_pylist(), strict=True)
    return ["val" if for_validation(key, user, holdout) else "train" for key, user in pairs]


def write_posts(
    store: Store,
    out: Path,
    names: list[str],
    keep: np.ndarray,
    flat: np.ndarray,
    sizes: np.ndarray,
    holdout: float,
) -> Counter[str]:
    """Writes the shards of the posts to `keep`, bool (posts,), with their classes.

    `flat`: class ids of all posts, one after the other, `sizes` (posts,) of each. Returns the
    images per split.
    """
    counts: Counter[str] = Counter()
    ends = np.concatenate([[0], np.cumsum(sizes)])
    first = 0  # post of the shard
    with replacing(out) as part:
        about = store.kind, names, store.side.size, store.frame_rate
        with IndexWriter(part, *about) as index:
            for square in store.squares:
                people = read_table(store.folder, square.shard, PEOPLE)
                last = first + len(people)
                splits = pa.array(_splits(people, holdout), pa.string())
                images = square.table()
                images = images.append_column("id", people["id"]).append_column("split", splits)
                kept, classes = keep[first:last], flat[ends[first] : ends[last]]
                values = {"targets": class_lists(classes, sizes[first:last])}
                index.add(int(square.shard.name), kept, images, values)
                counts.update(splits.filter(pa.array(kept)).to_pylist())
                first = last
        write_checksums(part, link_tars(store, part))
    return counts
