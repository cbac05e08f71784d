"""Posts in any number with the frequency law of real ones: ids, users and hashtags as Parquet,
written in row groups.

Each post is of one of two real packs, HARRISON (Instagram) or Flickr Dresden, in their proportion,
and draws its number of hashtags and these by that pack's frequencies; its user by Flickr's posts
per user (a town's worth of users for every 17,879 posts). Both packs hold frequent hashtags only,
so a share of the tags is drawn from a tail in which the number of distinct ones grows by Heaps'
law; its forms are the pack's real merged hashtags, then pairs of real hashtags. A share of all tags
is typed in another way: capitals, '#', an emoji, a letter left out.
"""

import csv
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from io import TextIOWrapper
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROWS = 1 << 17
TAIL = 0.25  # of the tags
HEAPS_FACTOR, HEAPS_EXPONENT = 5, 0.7  # distinct tags of the tail = 5 (tags of the tail)^0.7
UNKNOWN = 0.1  # posts without user


class Law:
    """What the packs say: tags with frequencies, tags per post, posts per user, word splits."""

    def __init__(self, packs: Path):
        with tarfile.open(packs / "hashtags.tar.xz") as archive:
            table = {
                name: list(csv.DictReader(text, delimiter="\t", quoting=csv.QUOTE_NONE))
                for name in (
                    "harrison_instagram_tags",
                    "flickr_dresden_tags",
                    "hashtag_segmentation",
                )
                for text in [TextIOWrapper(archive.extractfile(f"hashtags/{name}.tsv"), "utf-8")]
            }
        instagram = [row["hashtags"].split() for row in table["harrison_instagram_tags"]]
        flickr = [row["tags"].split(";") for row in table["flickr_dresden_tags"]]
        posts = [instagram, [list(filter(None, tags)) for tags in flickr]]
        counts = [Counter(chain.from_iterable(pack)) for pack in posts]
        self.tags = sorted(set().union(*counts))
        self.levels, self.lengths = [], []
        for pack, count in zip(posts, counts, strict=True):
            weight = np.array([count[tag] for tag in self.tags], np.float64)
            self.levels.append(np.cumsum(weight) / weight.sum())
            self.lengths.append(np.array(list(map(len, pack))))
        users = np.array(
            list(Counter(row["user"] for row in table["flickr_dresden_tags"]).values()), np.float64
        )
        self.town, self.user_levels = int(users.sum()), np.cumsum(users) / users.sum()
        gold = {row["hashtag"]: row["gold_segmentations"] for row in table["hashtag_segmentation"]}
        self.merged = sorted(set(gold) - set(self.tags))
        self.words = {
            tag.lower(): tuple(text.split("|")[0].lower().split())
            for tag, text in sorted(gold.items())
        }

    def names(self, form: str) -> tuple[str, ...]:
        """The mapping of all sides: a hashtag whose word split is known stands for its words,
        else for itself.
        """
        return self.words.get(form, (form,))


def _tail(law: Law, ranks: np.ndarray) -> pa.Array:
    pairs, many = np.maximum(ranks - len(law.merged), 0), len(law.tags)
    first, second = pairs % many, (pairs // many + pairs) % many
    words, number = pa.array(law.tags), pa.array(pairs // many**2).cast(pa.string())
    number = pc.if_else(pc.equal(number, "0"), "", number)
    made = pc.binary_join_element_wise(
        words.take(pa.array(first)), words.take(pa.array(second)), number, ""
    )
    real = pa.array(law.merged).take(pa.array(np.minimum(ranks, len(law.merged) - 1)))
    return pc.if_else(pa.array(ranks < len(law.merged)), real, made)


def _typed(tags: pa.Array, rng: np.random.Generator) -> pa.Array:
    way = rng.random(len(tags))
    ways = (
        (0.05, pc.utf8_capitalize),
        (0.04, pc.utf8_upper),
        (0.03, lambda some: pc.binary_join_element_wise("#", some, "")),
        (0.01, lambda some: pc.binary_join_element_wise(some, "\U0001f305", "")),
        (0.01, lambda some: pc.utf8_replace_slice(some, 2, 3, "")),
    )
    for share, change in ways:
        mask = pa.array((way >= 0) & (way < share))
        tags = pc.replace_with_mask(tags, mask, change(tags.filter(mask)))
        way -= share
    return tags


def batches(law: Law, posts: int, seed: int = 0) -> Iterator[pa.RecordBatch]:
    """Record batches of ROWS posts: id string, user string (some null), hashtags list<string>."""
    rng, drawn, known = np.random.default_rng(seed), 0, 0
    share = len(law.lengths[0]) / sum(map(len, law.lengths))
    for first in range(0, posts, ROWS):
        n = min(ROWS, posts - first)
        pack = (rng.random(n) >= share).astype(np.int64)
        sizes = np.where(pack, *(rng.choice(law.lengths[i], n) for i in (1, 0)))
        of, chance = np.repeat(pack, sizes), rng.random(sizes.sum())
        ids = np.where(of, *(np.searchsorted(law.levels[i], chance, "right") for i in (1, 0)))
        tail = np.flatnonzero(rng.random(len(ids)) < TAIL)
        fresh = int(HEAPS_FACTOR * (drawn + len(tail)) ** HEAPS_EXPONENT) - known
        ranks = np.exp(rng.random(len(tail)) * np.log(known + fresh)).astype(
            np.int64
        )  # frequency as 1 / rank
        ranks[rng.permutation(len(tail))[:fresh]] = np.arange(known, known + fresh)[: len(tail)]
        drawn, known = drawn + len(tail), known + fresh
        tags, mask = pa.array(law.tags).take(pa.array(ids)), np.zeros(len(ids), bool)
        mask[tail] = True
        tags = _typed(pc.replace_with_mask(tags, pa.array(mask), _tail(law, ranks)), rng)
        towns = rng.integers(0, max(1, posts // law.town), n) * len(law.user_levels)
        users = pa.array(
            towns + np.searchsorted(law.user_levels, rng.random(n), "right"),
            mask=rng.random(n) < UNKNOWN,
        )
        ends = pa.array(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32))
        columns = [
            pc.binary_join_element_wise(
                "p", pa.array(np.arange(first, first + n)).cast(pa.string()), ""
            )
        ]
        columns += [users.cast(pa.string()), pa.ListArray.from_arrays(ends, tags)]
        yield pa.RecordBatch.from_arrays(columns, ["id", "user", "hashtags"])


def write(law: Law, posts: int, path: Path) -> None:
    """Writes the posts as one Parquet file with pyarrow's defaults."""
    stream = batches(law, posts)
    head = next(stream)
    with pq.ParquetWriter(path, head.schema) as writer:
        writer.write_batch(head)
        for done, batch in enumerate(stream, 2):
            writer.write_batch(batch)
            print(
                f"\r{min(done * ROWS, posts):,} of {posts:,} posts written", end="", file=sys.stderr
            )
    print(file=sys.stderr)
