"""The hashtags of a store: counted, canonicalised, chosen as classes, and the classes of each post.

Mahajan et al. 2018, "Exploring the Limits of Weakly Supervised Pretraining" (arXiv 1805.00932),
section 2.1, and the noise experiment: a share of the tags gives way to draws from the marginal
distribution of tags.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from corpus.hashtags.canonical import Canon
from corpus.hashtags.normal import normalise
from corpus.hashtags.wordnet import WordNet
from corpus.progress import Progress, unseen
from corpus.spread import Spread, in_turn
from corpus.store.read import read_table, shards_of
from corpus.tags.counts import count_names
from corpus.tags.joining import FIELDS, tags_of
from corpus.tags.names import Names
from corpus.tags.table import TagTable, distinct
from corpus.tags.vocabulary import Vocabulary, choose_classes

FEW = 500_000  # posts whose tags are read before other processes would have begun
NOISE = 1  # random stream


class Tagging(NamedTuple):
    """All forms typed, what they mean, the names that are classes, and the forms as classes."""

    table: TagTable
    canon: Canon
    names: Names
    name_counts: np.ndarray
    vocabulary: Vocabulary
    classes: Names


def batches(store: Path) -> Iterator[pa.RecordBatch]:
    """id, user and hashtags of all posts, shard by shard."""
    for shard in shards_of(store):
        yield from read_table(store, shard, FIELDS).to_batches()


def meant(wordnet: WordNet | None, names: Sequence[str]) -> set[str]:
    """The synsets that class names stand for: themselves if they are ids (ImageNet's wnids),
    else by their letters.
    """
    if wordnet is None:
        return set()
    ids = {synset.id for synset in wordnet.synsets}
    return {
        key
        for name in names
        for key in ([name] if name in ids else wordnet.ids(wordnet.find(normalise(name) or "")))
    }


def tag_posts(
    store: Path,
    folder: Path,
    canon: Canon,
    vocabulary: str = "frequent",
    max_tags: int = 1000,
    user_cap: int | None = None,
    target_names: Sequence[str] = (),
    progress: Progress | None = None,
    spread: Spread = in_turn,
) -> Tagging:
    """Reads the tags of a store once, spilled to `folder`, and chooses the classes.

    Many posts are read shard by shard by `spread`, to the same table.

    `target_names`, classes as people named them, go through the same rules as hashtags.
    """
    shards = shards_of(store)
    if spread.workers > 1 and len(shards) > 1 and sum(one.records for one in shards) >= FEW:
        table = tags_of(store, shards, folder, spread, progress or unseen)
    else:
        table = TagTable.build(batches(store), folder, progress=progress)
    more = sorted({normalise(name) for name in target_names} - {None})
    names = Names.of(canon.names(table.forms.to_pylist(), table.counts, table.cased, more))
    counts = count_names(table, names, user_cap)
    synsets = {"synsets_of": canon.synsets_of, "target_synsets": meant(canon.wordnet, target_names)}
    chosen = choose_classes(
        names.names,
        counts,
        vocabulary,
        canon.min_posts,
        max_tags,
        target_names={name for label in target_names for name in canon.named(label)},
        **synsets if canon.wordnet else {},
    )
    return Tagging(table, canon, names, counts, chosen, names.only(chosen.ids))


def noisy(
    ids: np.ndarray, sizes: np.ndarray, counts: Sequence[int], share: float, seed: int
) -> tuple[np.ndarray, ...]:
    """Each class (flat int32 ids, `sizes` per post) given up with probability `share` for a draw
    from the marginal.

    The marginal is that of `counts`, posts per class; a class drawn twice for a post counts once.
    Returns (ids, sizes).
    """
    if not 0 <= share <= 1:
        raise ValueError(f"noise = {share}: give the share of the tags to replace, from 0 to 1")
    rng = np.random.default_rng((seed, NOISE))
    replaced = rng.random(len(ids)) < share
    marginal = np.asarray(counts, np.float64) / np.sum(counts)
    ids = ids.copy()
    ids[replaced] = rng.choice(len(marginal), np.count_nonzero(replaced), p=marginal)
    posts = np.repeat(np.arange(len(sizes), dtype=np.int64) << 32, sizes)
    return distinct(posts | ids, len(sizes))


def classes_per_post(
    tagging: Tagging, noise: float = 0.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Flat int32 class ids, sorted within each post, and int64 (posts,) how many each post has."""
    flat, sizes = [np.empty(0, np.int32)], [np.empty(0, np.int64)]
    for _, ids, ends in tagging.classes.per_post(tagging.table):
        flat.append(ids)
        sizes.append(np.diff(ends, prepend=0))
    both = np.concatenate(flat), np.concatenate(sizes)
    return noisy(*both, tagging.vocabulary.counts, noise, seed) if noise else both
