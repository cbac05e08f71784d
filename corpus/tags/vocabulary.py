"""Which canonical hashtags are the classes of pretraining.

Mahajan et al. 2018, "Exploring the Limits of Weakly Supervised Pretraining" (arXiv 1805.00932),
section 2.1: 17k names of any noun synset of WordNet (`nouns`), 8.5k the most frequent of these
(`nouns` with a max_size), 1.5k names of the target task's synsets (`targets`). `frequent`, the most
frequent names whatever they mean, needs no WordNet.
"""

from collections.abc import Callable, Collection, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus.hashtags.normal import normalise

RULES = ("frequent", "nouns", "targets")
Synsets = Callable[[str], Collection[str]]


class Vocabulary(NamedTuple):
    """Names in the order of their class index, posts per name, its number among all names."""

    names: list[str]
    counts: list[int]
    ids: list[int]


def choose_classes(
    names: pa.Array,
    counts: np.ndarray,
    rule: str = "frequent",
    min_posts: int = 20,
    max_size: int = 1000,
    synsets_of: Synsets | None = None,
    target_synsets: Collection[str] = (),
    target_names: Collection[str] = (),
) -> Vocabulary:
    """The `max_size` most frequent names that the rule admits, most frequent first.

    Each is in `min_posts` posts. Ties are ordered by name. `targets` admits a name equal to a
    normalised target name, or with one of the target synsets. ValueError for an unknown rule, one
    that lacks what it needs, or when nothing is left.
    """
    admits = _admission(rule, synsets_of, target_synsets, target_names)
    enough = np.flatnonzero(counts >= min_posts)
    if len(enough) == 0:
        top = counts.max(initial=0)
        fault = f"no hashtag is in min_posts = {min_posts} posts (the top one is in {top})"
        raise ValueError(f"{fault}; lower min_posts")
    table = pa.table({"name": names.take(pa.array(enough)), "posts": counts[enough], "id": enough})
    chosen = list(islice((row for row in _ranked(table) if admits(row[0])), max_size))
    if not chosen:
        raise ValueError(
            f"none of the {len(enough)} hashtags with min_posts = {min_posts} posts is admitted "
            f"by the rule {rule!r}; lower min_posts, or choose the rule 'frequent'"
        )
    return Vocabulary(*map(list, zip(*chosen, strict=True)))


def _ranked(table: pa.Table) -> Iterator[tuple[str, int, int]]:
    order = pc.sort_indices(table, [("posts", "descending"), ("name", "ascending")])
    # batch by batch: few of millions may become Python's
    for rows in table.take(order).to_batches(max_chunksize=1 << 16):
        yield from zip(*(column.to_pylist() for column in rows.columns), strict=True)


def _admission(
    rule: str,
    synsets_of: Synsets | None,
    target_synsets: Collection[str],
    target_names: Collection[str],
) -> Callable[[str], bool]:
    if rule == "frequent":
        return lambda name: True
    if rule == "nouns":
        if synsets_of is None:
            raise ValueError(
                "the vocabulary rule 'nouns' asks WordNet; "
                "give one, or choose 'frequent' or 'targets'"
            )
        return lambda name: bool(synsets_of(name))
    if rule == "targets":
        wanted, meant = {normalise(name) for name in target_names}, set(target_synsets)
        if not wanted and not meant:
            raise ValueError(
                "the vocabulary rule 'targets' has no target classes; name a target set with labels"
            )
        return lambda name: (
            name in wanted or (synsets_of is not None and not meant.isdisjoint(synsets_of(name)))
        )
    raise ValueError(f"vocabulary rule {rule!r} is unknown; choose one of {', '.join(RULES)}")
