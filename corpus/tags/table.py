"""The typed hashtags of all posts as numbers on disk, 10 million posts in bounded memory.

Each distinct string goes through `normalise_or_why` once; posts keep the ids of their distinct
normalised forms. In memory are one piece of the posts, and what grows with the distinct tags (about
50 bytes for each): hashes, forms, counts.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus.hashtags.normal import normalise_or_why
from corpus.progress import Progress
from corpus.tags.interning import HashIndex, Interner, hash64, hash_known

T = TypeVar("T")
PIECE = 1 << 20  # tags that are worked on at once
LISTED = 1000  # posts of too many tags that are listed; all are counted
LOW = np.int64(0xFFFFFFFF)
# codes below are reasons why a typed tag has no form, the last of them that it is null
REASONS = 16


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items, the next one being made in a thread while one is worked on."""
    items, end = iter(items), object()
    with ThreadPoolExecutor(1) as pool:
        item = pool.submit(next, items, end).result()
        while item is not end:
            coming = pool.submit(next, items, end)
            yield item
            item = coming.result()


def distinct(keys: np.ndarray, posts: int) -> tuple[np.ndarray, np.ndarray]:
    """Of keys (post << 32 | id) in any order: (ids, their number per post).

    The ids, int32, are sorted and distinct within a post.
    """
    keys = np.sort(keys)
    first = np.empty(len(keys), bool)
    first[:1] = True
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    keys = keys[first]
    return (keys & LOW).astype(np.int32), np.bincount(keys >> 32, minlength=posts)


def add_counts(counts: np.ndarray, ids: np.ndarray) -> None:
    """counts[i] += how often i is in `ids`."""
    # without an array of the length of `counts` when ids are few
    if len(ids) > len(counts):
        counts += np.bincount(ids, minlength=len(counts))
    else:
        np.add.at(counts, ids, 1)


class TagTable:
    """Posts as ids of normalised forms, spilled to `folder`; built by `TagTable.build`.

    forms (large_string), counts (int64, posts per form) and the numbers of: posts, typed tags, kept
    tags (distinct forms of a post), unusable ones by reason, and posts with more tags than are
    read, the first of which are `listed` as (id, tags). `cased` has one spelling (the first by code
    points) of each form that was typed with inner capitals.
    """

    def __init__(self, folder: Path, max_tags_per_post: int):
        self.folder, self.max_tags = folder, max_tags_per_post
        self.posts = self.typed = self.kept = self.too_long = 0
        self.unusable: Counter[str] = Counter()
        self._reasons = {"null": REASONS - 1}
        self.listed: list[tuple[str, int]] = []
        self.cased: dict[str, str] = {}
        self.forms: pa.Array = pa.array([], pa.large_string())
        self.counts = np.zeros(1024, np.int64)
        self._pieces: list[list[int]] = []  # [posts, kept tags] of each block on disk
        self._typed_forms = HashIndex()  # of a typed tag: id of its form + REASONS
        self._forms = Interner()

    @classmethod
    def build(
        cls,
        batches: Iterable[pa.RecordBatch],
        folder: Path,
        max_tags_per_post: int = 1000,
        progress: Progress | None = None,
    ) -> "TagTable":
        """Reads batches of the columns id, hashtags (list of strings) and, where known, user.

        Files go to `folder`.

        Of a post with more than `max_tags_per_post` typed tags the first so many are read.
        ValueError for a batch without lists of hashtags.
        """
        folder.mkdir(parents=True, exist_ok=True)
        table = cls(folder, max_tags_per_post)
        with (
            (folder / "forms.i32").open("wb") as forms,
            (folder / "sizes.i32").open("wb") as sizes,
            (folder / "users.u64").open("wb") as users,
        ):
            for batch in ahead(batches):
                for ids, lengths in table._read(batch):
                    ids.tofile(forms)
                    lengths.astype(np.int32).tofile(sizes)
                known = "user" in batch.schema.names
                who = hash_known(batch["user"]) if known else np.zeros(len(batch), np.uint64)
                who.tofile(users)
                if progress:
                    progress(table.posts, None, "hashtags")
        table.finish()
        return table

    def intern(self, forms: pa.Array) -> np.ndarray:
        """int32 ids of forms, a large_string array, the new ones taken in."""
        return self._forms(forms)

    def finish(self) -> None:
        """Nothing more comes: keep what is asked for later."""
        self.forms, self.counts = self._forms.strings(), self.counts[: len(self._forms)].copy()
        self._typed_forms = self._forms = None

    def blocks(self) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Streams (number of the first post, form ids, forms per post), both int32.

        Ids are sorted within each post.
        """
        first = 0
        with (
            (self.folder / "forms.i32").open("rb") as forms,
            (self.folder / "sizes.i32").open("rb") as sizes,
        ):
            # read, not mapped: mapped pages would count as this process's memory
            for posts, kept in self._pieces:
                yield first, np.fromfile(forms, np.int32, kept), np.fromfile(sizes, np.int32, posts)
                first += posts

    def users(self, first: int = 0, posts: int = -1) -> np.ndarray:
        """The users' 64-bit hashes of `posts` posts from `first` on, uint64.

        0 where the user is not known.
        """
        return np.fromfile(self.folder / "users.u64", np.uint64, posts, offset=8 * first)

    def _read(self, batch: pa.RecordBatch) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        if "hashtags" not in batch.schema.names:
            names = ", ".join(batch.schema.names)
            raise ValueError(f"posts have no column hashtags, only {names}; import them again")
        column = batch["hashtags"]
        if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
            fault = f"the column hashtags holds {column.type}, not lists of strings"
            raise ValueError(f"{fault}; import the posts again")
        lengths = pc.list_value_length(column).fill_null(0)
        sizes = lengths.to_numpy(zero_copy_only=False).astype(np.int64)
        flat = column.flatten()
        self.typed += len(flat)
        if sizes.max(initial=0) > self.max_tags:
            flat, sizes = self._shortened(batch, flat, sizes)
        ends, first = np.cumsum(sizes), 0
        while first < len(sizes):
            start = ends[first] - sizes[first]
            last = max(first + 1, int(np.searchsorted(ends, start + PIECE, "right")))
            yield self._piece(flat[start : ends[last - 1]], sizes[first:last])
            first = last

    def _shortened(
        self, batch: pa.RecordBatch, flat: pa.Array, sizes: np.ndarray
    ) -> tuple[pa.Array, np.ndarray]:
        long = np.flatnonzero(sizes > self.max_tags)
        self.too_long += len(long)
        for i in long[: LISTED - len(self.listed)]:
            self.listed.append((batch["id"][int(i)].as_py(), int(sizes[i])))
        place = np.arange(len(flat)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return flat.filter(pa.array(place < self.max_tags)), np.minimum(sizes, self.max_tags)

    def _piece(self, tags: pa.Array, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ids = self._ids(tags)
        usable = ids >= 0
        numbers = np.bincount(ids[~usable] + REASONS, minlength=REASONS)
        for reason, code in self._reasons.items():
            if numbers[code]:
                self.unusable[reason] += int(numbers[code])
        posts = np.repeat(np.arange(len(sizes), dtype=np.int64) << 32, sizes)
        ids, sizes = distinct((posts | ids)[usable], len(sizes))
        self.count(ids, sizes)
        return ids, sizes

    def count(self, ids: np.ndarray, sizes: np.ndarray) -> None:
        """Take into account what the caller appends to the files: forms of more posts."""
        while len(self.counts) < len(self._forms):
            self.counts = np.concatenate([self.counts, np.zeros_like(self.counts)])
        add_counts(self.counts, ids)
        before = self._pieces[-1] if self._pieces else (PIECE, PIECE)
        if before[0] + len(sizes) > PIECE or before[1] + len(ids) > PIECE:
            self._pieces.append([0, 0])
        self._pieces[-1][0] += len(sizes)
        self._pieces[-1][1] += len(ids)
        self.posts, self.kept = self.posts + len(sizes), self.kept + len(ids)

    def _ids(self, tags: pa.Array) -> np.ndarray:
        """The form id of each typed tag as int32.

        Where there is none, the reason's code - REASONS.
        """
        coded = tags if pa.types.is_dictionary(tags.type) else tags.dictionary_encode()
        where = coded.indices.fill_null(-1).to_numpy().astype(np.int64)
        # a file's dictionary may hold more than these tags
        seen = np.bincount(where + 1, minlength=len(coded.dictionary) + 1)[1:] > 0
        typed = coded.dictionary.filter(pa.array(seen)).cast(pa.large_string())
        hashes = hash64(typed)
        codes = self._typed_forms.find(hashes)
        new = np.flatnonzero(codes < 0)
        tags = typed.take(pa.array(new)).to_pylist()
        answers = list(map(normalise_or_why, tags))
        forms = pa.array([form for form, _ in answers], pa.large_string())
        codes[new] = self.intern(forms) + REASONS
        for i, tag, (form, reason) in zip(new, tags, answers, strict=True):
            if form is None:
                codes[i] = self._reasons.setdefault(reason, len(self._reasons) - 1)
            elif not (tag.islower() or tag.isupper() or tag.lstrip("#")[1:].islower()):
                self.cased[form] = min(tag, self.cased.get(form, tag))
        assert len(self._reasons) <= REASONS
        self._typed_forms.add(hashes[new], codes[new])
        ids = np.full(len(seen) + 1, -1, np.int32)  # the last is what index -1, null, finds
        ids[:-1][seen] = codes - REASONS
        return ids[where]
