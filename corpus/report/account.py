"""What became of every post and hashtag, for the report: each step adds up to the next."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpus.duplicates.dedupe import Dropped
from corpus.pages.films import film
from corpus.reading.resampling import POWERS, class_factors, rarest_class
from corpus.report.findings import (
    Cooccurrence,
    Example,
    Findings,
    Form,
    Lost,
    Merged,
    Twins,
    Users,
    zipf_exponent,
)
from corpus.report.funnel import OUTSIDE, RARE, STOP, Masks, post_steps, rules, tag_steps
from corpus.store.read import read_table, shards_of, total
from corpus.store.squares import Store
from corpus.tags.counts import statistics
from corpus.tags.tagging import FIELDS, Tagging

TOP, SHOWN = 40, 24  # names in the co-occurrence map; examples of posts and of duplicates
MERGING = ("stop", "table", "everyday", "lemma", "plural", "words", "spelling")  # as they apply
LENGTH = 1.5  # of the training list, in posts, that the resampled frequencies are shown for


def lost(tagging: Tagging, count: int = TOP) -> list[Lost]:
    """The most frequent names that are no class, and stop tags."""
    counts, chosen = tagging.name_counts.copy(), set(tagging.vocabulary.ids)
    order = [
        i
        for i in np.argsort(-counts, kind="stable")[: count + len(chosen)].tolist()
        if i not in chosen
    ][:count]
    names = tagging.names.names.take(pa.array(order, pa.int64())).to_pylist()
    few = tagging.canon.min_posts
    found = [
        Lost(n, int(counts[i]), RARE if counts[i] < few else OUTSIDE)
        for n, i in zip(names, order, strict=True)
    ]
    stopped = np.flatnonzero(tagging.names.sizes == 0)
    stopped = stopped[np.argsort(-tagging.table.counts[stopped], kind="stable")[:count]]
    forms = tagging.table.forms.take(pa.array(stopped)).to_pylist()
    found += [
        Lost(n, int(tagging.table.counts[i]), STOP)
        for n, i in zip(forms, stopped.tolist(), strict=True)
    ]
    return sorted(found, key=lambda item: (-item.posts, item.tag))[:count]


def forms_of(tagging: Tagging) -> dict[str, list[Form]]:
    """The typed forms that stand for each class besides its name, most posts first, and the rule
    that says so.
    """
    classes, table = tagging.classes, tagging.table
    form = np.repeat(np.arange(len(classes.sizes)), classes.sizes)
    order = np.lexsort([form, -table.counts[form], classes.ids])
    spelled = table.forms.take(pa.array(form[order])).to_pylist()
    names, found = tagging.vocabulary.names, {name: [] for name in tagging.vocabulary.names}
    for number, i, text in zip(
        classes.ids[order].tolist(), form[order].tolist(), spelled, strict=True
    ):
        if text != names[number]:
            found[names[number]].append(Form(text, tagging.canon.rules[i]))
    return found


def merged(tagging: Tagging) -> dict[str, Merged]:
    """What each rule has merged or dropped; the rules that left a form as it is are none."""
    rules = pa.array(tagging.canon.rules, pa.string()).dictionary_encode()
    codes, uses = rules.indices.to_numpy(zero_copy_only=False), tagging.table.counts
    found = {}
    for code, rule in enumerate(rules.dictionary.to_pylist()):
        of = codes == code
        found[rule] = Merged(int(of.sum()), int(uses[of].sum()))
    return {rule: found[rule] for rule in MERGING if rule in found}


def resampled(flat: np.ndarray, sizes: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """Per resampling rule how many entries of a training list show each class."""
    counts, ends = np.bincount(flat, minlength=classes), np.cumsum(sizes)
    rarest = rarest_class(flat, ends, counts)
    images = np.bincount(rarest[rarest >= 0], minlength=classes)
    found = {}
    for rule in POWERS:
        factors = class_factors(counts, images, rule, round(LENGTH * images.sum()))
        found[rule] = np.bincount(flat, np.repeat(factors[rarest], sizes), classes)
    return found


def examples(
    posts: Store, keep: np.ndarray, flat: np.ndarray, sizes: np.ndarray, names: list[str]
) -> list[Example]:
    """Some posts of the shards, evenly over the store."""
    rows = np.flatnonzero(keep)
    rows = rows[np.linspace(0, len(rows) - 1, min(SHOWN, len(rows))).round().astype(np.int64)]
    ends, found, first = np.cumsum(sizes), [], 0
    for one in posts.squares:
        mine = rows[(rows >= first) & (rows < first + one.shard.records)]
        if len(mine):
            table = read_table(posts.folder, one.shard, FIELDS).take(pa.array(mine - first))
            for row, post in zip(mine.tolist(), table.to_pylist(), strict=True):
                targets = tuple(names[i] for i in flat[ends[row] - sizes[row] : ends[row]].tolist())
                found.append(
                    Example(post["id"], shown(posts, row), tuple(post["hashtags"]), targets)
                )
        first += one.shard.records
    return found


def shown(store: Store, row: int) -> bytes:
    """The picture of a row of a store; of a video some of its frames."""
    return store.side.jpeg(row) if store.side.frames is None else film(*store.side.film(row))


def sheet(all_stores: list[Store], dropped: Dropped) -> list[Twins]:
    """Some pairs of duplicates of every kind and pair of sets."""
    posts, stores, found = all_stores[0], {store.name: store for store in all_stores}, []
    for name, pairs in dropped.found.items():
        for kind in np.unique(pairs.kinds):
            for a, b in pairs.pairs[pairs.kinds == kind][:6].tolist():
                other = stores[name]
                images = shown(posts, a), shown(other, b)
                found.append(
                    Twins(
                        str(kind),
                        f"hashtags, {name}",
                        *images,
                        posts.ids[a].as_py(),
                        other.ids[b].as_py(),
                    )
                )
    return found[:SHOWN]


def summary(
    tagging: Tagging, masks: Masks, sizes: np.ndarray, dropped: Dropped, digest: str
) -> dict[str, Any]:
    """The numbers in one line each, for metrics."""
    typed, *_, used = (step.count for step in tag_steps(tagging))
    return {
        "posts": len(masks.keep),
        "posts_kept": int(masks.keep.sum()),
        "distinct_hashtags": len(tagging.table.counts),
        "hashtags": len(tagging.vocabulary.names),
        "uses_kept_percent": round(100 * used / max(typed, 1), 1),
        "mean_hashtags": round(float(sizes[masks.keep].mean()) if masks.keep.any() else 0.0, 3),
        "zipf_exponent": round(zipf_exponent(tagging.vocabulary.counts), 3),
        "near_empty_dropped": int(masks.usable.sum() - masks.tagged.sum()),
        "duplicates_dropped": len(dropped.rows),
        "digest": digest,
    }


def account(
    data: Path,
    settings: dict[str, Any],
    tagging: Tagging,
    stores: list[Store],
    masks: Masks,
    classes: tuple[np.ndarray, np.ndarray],
    dropped: Dropped,
    images: dict[str, Counter[str]],
    notes: Sequence[str] = (),
) -> Findings:
    """All that the report tells.

    `stores` are the posts and the target sets, `classes` flat ids and their number.
    """
    names, (flat, sizes) = tagging.vocabulary.names, classes
    stats = statistics(tagging.table, tagging.classes, TOP)
    kept = np.where(masks.keep, sizes, 0)
    kinds = (
        (f"hashtags, {name}", kind)
        for name, found in dropped.found.items()
        for kind in found.kinds.tolist()
    )
    synsets = {name: ", ".join(tagging.canon.synsets_of(name)) for name in names}
    return Findings(
        summary=summary(tagging, masks, sizes, dropped, total(shards_of(stores[0].folder))),
        names=names,
        counts=np.asarray(tagging.vocabulary.counts, np.int64),
        post_steps=post_steps(data, stores[0], masks, dropped),
        tag_steps=tag_steps(tagging),
        tags_per_post=np.bincount(sizes[masks.usable]),
        images={name: dict(sorted(found.items())) for name, found in images.items()},
        forms=forms_of(tagging),
        synsets={name: ids for name, ids in synsets.items() if ids},
        typed_counts=tagging.table.counts,
        resampled=resampled(flat[np.repeat(masks.keep, sizes)], kept, len(names)),
        cooccurrence=Cooccurrence(names[:TOP], stats.cooccurrence, tagging.table.posts),
        users=None if stats.users is None else Users(*stats.users),
        duplicates=dict(Counter(kinds)),
        twins=sheet(stores, dropped),
        examples=examples(stores[0], masks.keep, flat, sizes, names),
        lost=lost(tagging),
        notes=list(notes),
        merged=merged(tagging),
        settings=settings,
        rules=rules(settings, [store.name for store in stores[1:]]),
    )
