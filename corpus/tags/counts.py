"""What is counted over all posts: posts per name (with a cap per user) and the report's statistics.

In bounded memory.

Mahajan et al. 2018 (arXiv 1805.00932), section 2.1 counts images per hashtag. The cap is ours: it
keeps one user with thousands of posts from making a class.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, NamedTuple

import numpy as np

from corpus.tags.names import Names
from corpus.tags.table import TagTable, add_counts

PART = 1 << 21  # (user, name) pairs, or users, that are sorted at once
FILES = 256  # open at the same time; larger parts are read in slices
POINTS = 1000  # of the curve of posts per user
PAIR = np.dtype([("user", "<u8"), ("name", "<i4")])


def count_names(table: TagTable, names: Names, user_cap: int | None = None) -> np.ndarray:
    """Posts per name, int64 (names,); with a cap at most so many of one user.

    Posts of unknown users all count.
    """
    counts = np.zeros(len(names.names), np.int64)
    if user_cap is None:
        for _, ids, _ in names.per_post(table):
            add_counts(counts, ids)
        return counts
    if user_cap < 1:
        raise ValueError(
            f"user_cap = {user_cap} leaves no post; give at least 1, or null for no cap"
        )
    with TemporaryDirectory(dir=table.folder) as folder:
        for path in _by_user(table, names, Path(folder), counts):
            _add_capped(counts, path, user_cap)
    return counts


def _by_user(table: TagTable, names: Names, folder: Path, counts: np.ndarray) -> list[Path]:
    """Writes the (user, name) pairs to files such that a user is in one.

    Counts those of unknown users at once.
    """
    paths = [folder / str(i) for i in range(min(FILES, table.kept // PART + 1))]
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for first, ids, ends in names.per_post(table):
            users = np.repeat(table.users(first, len(ends)), np.diff(ends, prepend=0))
            add_counts(counts, ids[users == 0])
            pairs = np.empty(np.count_nonzero(users), PAIR)
            pairs["user"], pairs["name"] = users[users > 0], ids[users > 0]
            place = (pairs["user"] % np.uint64(len(files))).astype(np.uint16)
            pairs = pairs[np.argsort(place, kind="stable")]  # 16 bits: a radix sort
            parts = np.split(pairs, np.cumsum(np.bincount(place, minlength=len(files)))[:-1])
            for file, part in zip(files, parts, strict=True):
                part.tofile(file)
    return paths


def _parts(file: BinaryIO) -> Iterator[np.ndarray]:
    """PART pairs at a time, to the end of the file."""
    pairs = np.fromfile(file, PAIR, PART)
    while len(pairs):
        yield pairs
        pairs = np.fromfile(file, PAIR, PART)


def _add_capped(counts: np.ndarray, path: Path, user_cap: int) -> None:
    users, ids, posts = np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int64)
    with path.open("rb") as file:
        for pairs in _parts(file):
            known, user = np.unique(np.concatenate([users, pairs["user"]]), return_inverse=True)
            keys = user << 32 | np.concatenate([ids, pairs["name"]])
            keys, key = np.unique(keys, return_inverse=True)
            each = np.concatenate([posts, np.ones(len(pairs), np.int64)])
            posts = np.bincount(key, each).astype(np.int64)
            users, ids = known[keys >> 32], keys & 0xFFFFFFFF
    np.add.at(counts, ids, np.minimum(posts, user_cap))


@dataclass
class Statistics:
    """Of posts within a vocabulary of classes, most frequent first.

    counts int64 (classes,): posts per class. cooccurrence int64 (K, K): posts that have both, of
    the first K classes, posts per class on the diagonal. tags_per_post int64: posts with 0, 1, 2
    ... classes. users: of all posts; None when no user is known.
    """

    counts: np.ndarray
    cooccurrence: np.ndarray
    tags_per_post: np.ndarray
    users: "Activity | None"


class Activity(NamedTuple):
    """Posts of the `number` users, int64, falling, at `ranks` (from 1, at most 1000 of them,
    evenly on a logarithmic axis), and the share of the posts that the most active 1 % of the
    users have.
    """

    number: int
    ranks: np.ndarray
    posts: np.ndarray
    top_share: float


def statistics(table: TagTable, classes: Names, top: int = 50) -> Statistics:
    """One pass over the posts; `classes` are `names.only(vocabulary.ids)`, `top` is K."""
    counts, top = np.zeros(len(classes.names), np.int64), min(top, len(classes.names))
    both, lengths = np.zeros((top, top), np.int64), np.zeros(1, np.int64)
    for _, ids, ends in classes.per_post(table):
        add_counts(counts, ids)
        sizes = np.diff(ends, prepend=0)
        more = np.bincount(sizes, minlength=len(lengths))
        more[: len(lengths)] += lengths
        lengths = more
        both += _together(ids, sizes, top)
    return Statistics(counts, both, lengths, _posts_per_user(table))


def _together(ids: np.ndarray, sizes: np.ndarray, top: int) -> np.ndarray:
    posts = np.repeat(np.arange(len(sizes)), sizes)[ids < top]
    has = np.zeros(
        (len(sizes), top), np.float32
    )  # whole numbers up to 2^24, more than posts in a block
    has[posts, ids[ids < top]] = 1
    return np.rint(has.T @ has).astype(np.int64)


def _user_parts(table: TagTable) -> Iterator[np.ndarray]:
    """The users of all posts, in parts of about PART posts such that a user is in one."""
    parts = np.uint64(table.posts // PART + 1)
    for part in range(int(parts)):
        spans = (table.users(first, PART) for first in range(0, table.posts, PART))
        found = [users[(users % parts == part) & (users > 0)] for users in spans]
        yield np.concatenate([np.empty(0, np.uint64), *found])


def _posts_per_user(table: TagTable) -> Activity | None:
    users_with: Counter[int] = Counter()  # number of posts -> number of users who have so many
    for users in _user_parts(table):
        posts, number = np.unique(np.unique(users, return_counts=True)[1], return_counts=True)
        users_with.update(dict(zip(posts.tolist(), number.tolist(), strict=True)))
    if not users_with:
        return None
    posts = np.array(sorted(users_with, reverse=True))
    users = np.array([users_with[n] for n in posts.tolist()])
    last_rank = np.cumsum(users)
    ranks = np.unique(np.rint(np.geomspace(1, last_rank[-1], POINTS)).astype(np.int64))
    active = np.clip(
        -(-last_rank[-1] // 100) - (last_rank - users), 0, users
    )  # of each number of posts
    share = float(active @ posts / (users @ posts))
    return Activity(int(last_rank[-1]), ranks, posts[np.searchsorted(last_rank, ranks)], share)
