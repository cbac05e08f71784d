"""From imported rows to shards, from typed hashtags to classes: what left at each step, and the
rules behind it.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpus.duplicates.dedupe import Dropped
from corpus.report.findings import Step
from corpus.store.plan import REASON
from corpus.store.squares import Store
from corpus.tags.tagging import Tagging

FEW = "no class of the vocabulary"
STOP, RARE, OUTSIDE = "stop tag", "too rare for a class", "not among the classes"
REPEATED = "repeated in its post"
EVERYDAY = (
    "The built-in table everyday.tsv: synonyms and translations of a few dozen common motifs, "
    "where synonyms.tsv says nothing else. Used without a WordNet only; the setting everyday: "
    "false leaves it out. Ours."
)
OFF = " Here it was not used."
AGAIN, TWIN = "duplicate of another post", "duplicate of an image of {}"


class Masks(NamedTuple):
    """Which posts, bool (posts,), have a usable image, of these have enough classes, of these
    are kept.
    """

    usable: np.ndarray
    tagged: np.ndarray
    keep: np.ndarray


def rules(settings: dict[str, Any], names: list[str]) -> dict[str, str]:
    """The rules behind reasons and merged forms, a paragraph each, under the words that the
    report uses for them.
    """
    found = {
        FEW: "A post is kept with at least min_tags classes, and trained on those (Mahajan et al. "
        "2018, section 2.1).",
        STOP: "Off-topic tags, listed in the setting `stop`, are no class, and neither is what "
        "means the same.",
        RARE: f"A name is a class with at least min_posts = {settings['min_posts']} posts.",
        OUTSIDE: f"The vocabulary is {settings['vocabulary']!r}: at most max_tags = "
        f"{settings['max_tags']} classes.",
        REPEATED: "A post counts once for a hashtag, however often it has it.",
        AGAIN: "Posts that show one image, found by equal bytes, or by like fingerprints with "
        "edges that agree once aligned (mirrored ones too), are one: the first in the order of the "
        "store stays.",
        "table": "What data/posts/synonyms.tsv says.",
        "everyday": EVERYDAY + (OFF if settings["wordnet"] or not settings["everyday"] else ""),
        "wordnet": "Hashtags whose letters, with blanks at any place, name the same set of WordNet "
        "synsets are one class (Mahajan et al. 2018, section 2.1; the rule for several senses as "
        "readers of the paper report it).",
        "lemma": "The plural of a noun that WordNet knows means its singular.",
        "plural": "Else, where a hashtag is the plural of another by the rules of English, "
        "Spanish, German, French, Portuguese or Italian, and word frequencies bear it out, both "
        "are one class, called after the more frequent one. Ours.",
        "words": "A rare hashtag is split into words all of which are known or are frequent "
        "hashtags. Ours.",
        "spelling": "A rare hashtag one edit away from a far more frequent one is a misspelling of "
        "it. Ours.",
    }
    return found | {
        TWIN.format(name): f"The labelled set {name} shows the same image: {AGAIN}."
        for name in names
    }


def post_steps(data: Path, posts: Store, masks: Masks, dropped: Dropped) -> list[Step]:
    """From imported rows to posts in the shards."""
    usable, tagged, keep = masks
    refused = quarantined(data, "posts")
    reasons = pc.value_counts(
        pa.chunked_array([one.table()["reason"].combine_chunks() for one in posts.squares])
    )
    bad = Counter()
    for entry in reasons.to_pylist():
        bad[REASON.match(entry["values"])[0].strip()] += entry["counts"] if entry["values"] else 0
    twice = {TWIN.format(name): len(rows) for name, rows in dropped.of_targets.items()}
    return [
        Step("rows imported", len(keep) + refused.total(), {}),
        Step("posts in the store", len(keep), dict(refused)),
        Step(
            "with a usable image",
            int(usable.sum()),
            {reason: count for reason, count in bad.items() if count},
        ),
        Step(
            "with hashtags of the vocabulary",
            int(tagged.sum()),
            {FEW: int(usable.sum() - tagged.sum())},
        ),
        Step("in the shards", int(keep.sum()), {AGAIN: len(dropped.of_posts)} | twice),
    ]


def quarantined(data: Path, name: str) -> Counter[str]:
    """Rows that the imports of a store refused, by reason."""
    path = data / "quarantine.jsonl"
    entries = map(json.loads, path.open(encoding="utf-8")) if path.exists() else ()
    return Counter(
        REASON.match(entry["reason"])[0].strip() for entry in entries if entry["store"] == name
    )


def tag_steps(tagging: Tagging) -> list[Step]:
    """From hashtags typed to hashtags that stand for a class."""
    table, wanted = tagging.table, np.zeros(len(tagging.names.names), bool)
    wanted[tagging.vocabulary.ids] = True
    form = np.repeat(np.arange(len(tagging.names.sizes)), tagging.names.sizes)
    classes = np.zeros(len(table.counts), bool)
    classes[form[wanted[tagging.names.ids]]] = True
    common = np.zeros(len(table.counts), bool)
    common[form[(tagging.name_counts >= tagging.canon.min_posts)[tagging.names.ids]]] = True
    none = tagging.names.sizes == 0
    uses = {
        STOP: table.counts[none].sum(),
        RARE: table.counts[~none & ~common].sum(),
        OUTSIDE: table.counts[~none & common & ~classes].sum(),
    }
    unusable = dict(table.unusable) | {REPEATED: table.typed - table.unusable.total() - table.kept}
    return [
        Step("typed", table.typed, {}),
        Step(
            "with letters, once a post",
            table.kept,
            unusable,
        ),
        Step(
            "of the vocabulary",
            int(table.counts[classes].sum()),
            {reason: int(count) for reason, count in uses.items()},
        ),
    ]
