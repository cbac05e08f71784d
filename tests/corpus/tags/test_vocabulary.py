"""The choice of classes: order, rules, refusals; real counts where there are some."""

import csv
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from corpus.hashtags.canonical import Canon
from corpus.kinds.posts import Post
from corpus.report.findings import zipf_exponent
from corpus.store.write import write_store
from corpus.tags.tagging import tag_posts
from corpus.tags.vocabulary import choose_classes

SYNSETS = {"dog": {"n1"}, "corgi": {"n2"}, "oak": {"n7"}, "park": {"n8", "n9"}}


def chosen(counts: dict[str, int], **options):
    names, posts = (
        pa.array(list(counts), pa.large_string()),
        np.array(list(counts.values()), np.int64),
    )
    return choose_classes(names, posts, **options)


COUNTS = {"beta": 7, "corgi": 20, "alpha": 7, "dog": 30, "oak": 8, "rare": 4, "park": 9}


def test_most_frequent_first_ties_by_name_whatever_the_order():
    vocabulary = chosen(COUNTS, min_posts=5)
    assert vocabulary.names == ["dog", "corgi", "park", "oak", "alpha", "beta"]
    assert vocabulary.counts == [30, 20, 9, 8, 7, 7] and vocabulary.ids == [3, 1, 6, 4, 2, 0]
    backwards = chosen(dict(reversed(COUNTS.items())), min_posts=5)
    assert (backwards.names, backwards.counts) == (vocabulary.names, vocabulary.counts)
    assert chosen(COUNTS, min_posts=5, max_size=5).names == vocabulary.names[:5]
    assert chosen(COUNTS, min_posts=4).names[-1] == "rare"


def test_nouns_are_the_names_with_a_synset():
    options = {"rule": "nouns", "min_posts": 5, "synsets_of": lambda name: SYNSETS.get(name, set())}
    assert chosen(COUNTS, **options).names == ["dog", "corgi", "park", "oak"]
    assert chosen(COUNTS, **options, max_size=3).names == ["dog", "corgi", "park"]


def test_targets_are_names_or_synsets_of_the_task():
    assert chosen(COUNTS, rule="targets", min_posts=5, target_names=["#Oak", "Dog!"]).names == [
        "dog",
        "oak",
    ]
    options = {
        "rule": "targets",
        "min_posts": 5,
        "synsets_of": lambda name: SYNSETS.get(name, set()),
    }
    assert chosen(COUNTS, **options, target_synsets=["n9", "n2"]).names == ["corgi", "park"]
    both = chosen(COUNTS, **options, target_synsets=["n2"], target_names=["alpha"])
    assert both.names == ["corgi", "alpha"]


def test_labels_go_through_the_rules_of_hashtags(tmp_path):
    typed = {"café": 9, "IceCream": 8, "airplanes": 7, "hund": 6, "goldenhour": 5, "other": 40}
    rows = [[name] for name, posts in typed.items() for _ in range(posts)]
    posts = (Post(id=f"p{i}", image="p.png", hashtags=tags) for i, tags in enumerate(rows))
    write_store(tmp_path / "posts", ((post, b"no image is looked at") for post in posts))
    labels = ["Cafe\u0301", "ice cream", "airplane", "perro", "golden_hour", "3.0", "unheard"]
    found = tag_posts(
        tmp_path / "posts", tmp_path / "s", Canon(min_posts=5), "targets", 99, None, labels
    )
    assert found.vocabulary.names == ["café", "icecream", "airplanes", "dog", "goldenhour"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_posts": 1000}, "the top one is in 30.*lower min_posts"),
        ({"rule": "nouns"}, "asks WordNet"),
        ({"rule": "targets"}, "name a target set"),
        ({"rule": "verbs"}, "choose one of frequent, nouns, targets"),
        (
            {"rule": "targets", "min_posts": 1, "target_names": ["yak"]},
            "none of the 7 hashtags.*'targets'",
        ),
    ],
)
def test_a_wrong_choice_is_refused_with_its_cause(options, message):
    with pytest.raises(ValueError, match=message):
        chosen(COUNTS, **options)
    with pytest.raises(ValueError, match="lower min_posts"):
        chosen({})


def test_real_posts_follow_zipf(pack):
    with (pack("hashtags") / "harrison_instagram_tags.tsv").open(encoding="utf-8") as file:
        posts = [
            row["hashtags"].split()
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]
    counts = Counter(tag for tags in posts for tag in set(tags))
    vocabulary = chosen(counts, max_size=500)
    assert len(vocabulary.names) == 500 and vocabulary.counts[0] == counts["love"]
    assert 0.5 < zipf_exponent(vocabulary.counts) < 1.5
