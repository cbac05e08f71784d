"""Which posts are duplicates of other posts, or of images of the target sets, and which of them
go.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpus.duplicates.search import groups
from corpus.duplicates.twins import TwinPairs, twin_pairs
from corpus.store.squares import Store

POLICIES = ("drop", "flag", "ignore")
PAIRS = pa.schema(
    {
        "store_a": pa.string(),
        "id_a": pa.string(),
        "store_b": pa.string(),
        "id_b": pa.string(),
        "kind": pa.string(),
        "distance": pa.float32(),
        "dropped": pa.bool_(),
    }
)


class Dropped(NamedTuple):
    """Posts (rows) that go as duplicates of other posts, or of images of a target set.

    All pairs, as a table too.
    """

    of_posts: np.ndarray
    of_targets: dict[str, np.ndarray]
    pairs: pa.Table
    found: dict[str, TwinPairs]

    @property
    def rows(self) -> np.ndarray:
        """All posts that go."""
        return np.concatenate([self.of_posts, *self.of_targets.values()]).astype(np.int64)


def find_duplicates(
    posts: Store, targets: list[Store], policy: str, keep: np.ndarray, show: Callable
) -> Dropped:
    """Searches the posts to `keep` for each other and for the images of the target sets.

    "drop" says which ones go.
    """
    found: dict[str, TwinPairs] = {}
    of_targets: dict[str, np.ndarray] = {}
    kept = keep.copy()
    for done, target in enumerate([*targets, posts] if policy != "ignore" else []):
        show(done, len(targets) + 1, "duplicates")
        pairs = twin_pairs(posts.side, None if target is posts else target.side)
        mine = kept[pairs.pairs[:, 0]] & (kept[pairs.pairs[:, 1]] if target is posts else True)
        found[target.name] = pairs = TwinPairs(*(part[mine] for part in pairs))
        if target is not posts:
            of_targets[target.name] = np.unique(pairs.pairs[:, 0])
            if policy == "drop":
                kept[of_targets[target.name]] = False
    of_posts = (
        groups(len(keep), found[posts.name].pairs).drop
        if posts.name in found
        else np.empty(0, np.int64)
    )
    stores = {store.name: store for store in (posts, *targets)}
    tables = [_table(posts, stores[name], pairs, policy) for name, pairs in found.items()]
    table = pa.concat_tables([PAIRS.empty_table(), *tables])
    if policy != "drop":
        of_posts, of_targets = of_posts[:0], {name: rows[:0] for name, rows in of_targets.items()}
    return Dropped(of_posts, of_targets, table, found)


def _table(posts: Store, other: Store, found: TwinPairs, policy: str) -> pa.Table:
    count = len(found.pairs)
    columns = [
        pa.array([posts.name] * count, pa.string()),
        posts.ids.take(pa.array(found.pairs[:, 0])),
        pa.array([other.name] * count, pa.string()),
        other.ids.take(pa.array(found.pairs[:, 1])),
        pa.array(found.kinds.tolist(), pa.string()),
        pa.array(found.distances.astype(np.float32)),
        pa.array([policy == "drop"] * count, pa.bool_()),
    ]
    return pa.Table.from_arrays(columns, schema=PAIRS)
