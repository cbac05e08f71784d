# ruff: noqa: RUF001
"""Normalisation, vocabulary and resampling: fixed points, identities, and real hashtags where there are some."""

import csv
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from corpus.hashtags import normalise, split_tags
from corpus.report import zipf_exponent
from corpus.resampling import epoch_list, repeat_factors
from corpus.vocabulary import choose, one_edit, read_synonyms

ARCHIVE = Path(__file__).parents[2] / "shared" / "data" / "hashtags.tar.xz"


def real(name: str) -> list[dict]:
    if not ARCHIVE.exists():
        pytest.skip("the archive of real hashtags is not here")
    with tarfile.open(ARCHIVE) as archive:
        text = archive.extractfile(f"hashtags/{name}.tsv").read().decode()
    return list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.mark.parametrize(
    ("typed", "tag"),
    [
        ("#Sunset", "sunset"),
        ("Golden_Hour🌅", "goldenhour"),
        ("rock-n-roll!", "rocknroll"),
        ("＃ＳＥＡ", "sea"),
        ("STRAẞE", "strasse"),
        ("Café", "café"),
        ("cafe\u0301", "café"),
        ("İstanbul", "istanbul"),
        ("МОРЕ", "море"),
        ("हिन्दी", "हिन्दी"),
        ("ﬁsh", "fish"),
        ("i❤️nyc", "inyc"),
        ("海", "海"),
        ("3d", "3d"),
        ("2024", None),
        ("#", None),
        ("❤️", None),
        ("a", None),
        ("", None),
    ],
)
def test_normalise(typed, tag):
    assert normalise(typed) == tag
    assert tag is None or normalise(tag) == tag


def test_split_tags():
    assert split_tags("#a#b, c;d|e\tf ＃g、h") == list("abcdefgh")
    assert split_tags("  , # ") == []


def test_real_tags_survive_normalisation_and_keep_their_spelling():
    tags = [tag for row in real("flickr_dresden_tags") for tag in row["tags"].split(";") if tag]
    tags += [row["hashtag"] for row in real("hashtag_segmentation")]
    kept = [tag for tag in map(normalise, tags) if tag]
    assert len(tags) > 50_000 and len(kept) > 0.95 * len(tags)
    assert all(normalise(tag) == tag for tag in set(kept))


def test_real_posts_follow_zipf():
    posts = [row["hashtags"].split() for row in real("harrison_instagram_tags")]
    vocabulary = choose(posts, 20, 500, {}, misspellings=False, merged=False)
    assert len(vocabulary.names) == 500 and vocabulary.counts[0] == Counter(t for p in posts for t in set(p))["love"]
    assert 0.5 < zipf_exponent(vocabulary.counts) < 1.5


def test_real_merged_words_are_split_where_people_would():
    rows = [row for row in real("hashtag_segmentation") if len(normalise(row["hashtag"]) or "") >= 6]
    gold = {normalise(row["hashtag"]): row["gold_segmentations"].lower().split("|") for row in rows}
    words = Counter(word for golds in gold.values() for word in golds[0].split() if len(word) >= 3)
    pairs = {tag for tag, golds in gold.items() if len(golds[0].split()) == 2 and tag not in words}
    pairs = {tag for tag in pairs if all(words[word] >= 5 for word in gold[tag][0].split())}
    posts = [[word] for word, count in words.items() for _ in range(count)] + [[tag] for tag in pairs]
    canonical = choose(posts, 5, 10_000, {}).canonical
    right = sum(" ".join(canonical.get(tag, ())) in gold[tag] for tag in pairs)
    assert len(pairs) > 400 and right > 0.95 * len(pairs), right / len(pairs)


def tagged(**counts: int) -> list[list[str]]:
    return [[tag] for tag, count in counts.items() for _ in range(count)]


def test_vocabulary_merges_synonyms_and_drops_stop_and_rare():
    posts = tagged(dog=30, hund=20, cat=40, love=90, rare=4) + [["dog", "hund"]] * 5
    vocabulary = choose(posts, 5, 10, {"hund": "dog", "liebe": "love"}, stop={"love"})
    assert (vocabulary.names, vocabulary.counts) == (["dog", "cat"], [55, 40])
    encode = vocabulary.encoder()
    assert encode(["hund", "dog", "cat", "unknown"]) == [0, 1] and encode(["rare", "love"]) == []
    assert choose(posts, 5, 1, {}).names == ["love"]
    with pytest.raises(ValueError, match="lower min_posts"):
        choose(posts, 1000, 10, {})


def test_ties_are_ordered_by_name_whatever_the_order_of_posts():
    posts = tagged(beta=7, alpha=7, gamma=9)
    a, b = choose(posts, 5, 10, {}), choose(posts[::-1], 5, 10, {})
    assert a == b and a.names == ["gamma", "alpha", "beta"]


def test_misspellings_and_merged_words():
    posts = tagged(
        sunset=100, circle=60, red=80, rojo=50, sunest=4, sunste=2, redcircle=3, rojocircle=2, cirle=7, rad=1
    )
    synonyms = {"rojo": "red"}
    with_all = choose(posts, 8, 10, synonyms)
    assert with_all.names == ["red", "sunset", "circle"] and with_all.counts == [135, 106, 65]
    assert with_all.canonical["redcircle"] == with_all.canonical["rojocircle"] == ("red", "circle")
    assert with_all.canonical["sunest"] == ("sunset",)
    assert "cirle" not in with_all.canonical  # 60 posts are not ten times 7
    assert "rad" not in with_all.canonical  # too short
    assert choose(posts, 8, 10, synonyms, misspellings=False, merged=False).counts == [130, 100, 60]
    assert choose(posts, 3, 10, {}).canonical["redcircle"] == ("redcircle",)  # frequent enough for a class of its own


def test_one_edit_agrees_with_the_definition():
    def distance(a, b):
        d = np.add.outer(np.arange(len(a) + 1), np.arange(len(b) + 1))
        for i in range(1, len(a) + 1):
            for j in range(1, len(b) + 1):
                d[i, j] = min(d[i - 1, j] + 1, d[i, j - 1] + 1, d[i - 1, j - 1] + (a[i - 1] != b[j - 1]))
                if i > 1 and j > 1 and a[i - 2 : i] == b[j - 2 : j][::-1]:
                    d[i, j] = min(d[i, j], d[i - 2, j - 2] + 1)
        return d[-1, -1]

    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("ab"), rng.integers(1, 6))) for _ in range(60)]
    assert all(one_edit(a, b) == (distance(a, b) == 1) for a in words for b in words)


def test_synonyms_follow_chains_and_refuse_rings(tmp_path):
    path = tmp_path / "synonyms.tsv"
    path.write_text("#Hund\tdog\nwelpe\thund\n\ndog\tdog\n")
    assert read_synonyms(path) == {"hund": "dog", "welpe": "dog", "dog": "dog"}
    for text, message in (
        ("a1\tb1\nb1\ta1\n", "back to itself"),
        ("ab\tx1\nab\tx2\n", "already"),
        ("alone\n", "line 1"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_synonyms(path)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(1)
    weights = 1 / np.arange(1, 41)
    targets = [rng.choice(40, rng.integers(1, 5), replace=False, p=weights / weights.sum()) for _ in range(3000)]
    return targets, np.bincount(np.concatenate(targets), minlength=40)


@pytest.mark.parametrize(("rule", "power"), [("sqrt", 0.5), ("uniform", 1.0)])
def test_repeat_factors_have_the_papers_form_and_length(images, rule, power):
    targets, counts = images
    r = repeat_factors(targets, counts, rule, 9000)
    assert r.dtype == np.float32 and r.min() >= 1 and r.sum() == pytest.approx(9000, rel=1e-5)
    rarest = np.array([counts[t].min() for t in targets])
    t = rarest[r > 1] * r[r > 1].astype(np.float64) ** (1 / power)  # r = phi(t / f) gives one t for the whole list
    assert np.ptp(t) < 1e-4 * t.mean() and (r[rarest >= t.mean()] == 1).all()
    order = np.argsort(rarest)
    assert (np.diff(r[order]) <= 0).all()
    assert (repeat_factors(targets, counts, rule, 12000) >= r).all()
    assert (repeat_factors(targets, counts, rule, 3000) == 1).all()


def test_natural_is_one_and_wrong_calls_are_named(images):
    assert (repeat_factors(*images, "natural", 9000) == 1).all()
    with pytest.raises(ValueError, match="natural, sqrt, uniform"):
        repeat_factors(*images, "cubic", 9000)
    with pytest.raises(ValueError, match="raise the length"):
        repeat_factors(*images, "sqrt", 2999)


def test_uniform_flattens_more_than_sqrt_than_natural(images):
    targets, counts = images

    def rarest_share(rule):
        r = repeat_factors(targets, counts, rule, 9000)
        return sum(f for f, tags in zip(r, targets, strict=True) if counts[tags].min() < 60) / r.sum()

    assert rarest_share("natural") < rarest_share("sqrt") < rarest_share("uniform")


def test_epoch_list_rounds_to_the_expected_repeats():
    repeats = np.array([1.0, 1.25, 2.5, 3.0], np.float32)
    generator = torch.Generator().manual_seed(0)
    lists = [epoch_list(repeats, generator) for _ in range(2000)]
    counts = torch.stack([torch.bincount(images, minlength=4) for images in lists])
    assert lists[0].dtype == torch.int64
    assert ((counts >= torch.tensor([1, 1, 2, 3])) & (counts <= torch.tensor([1, 2, 3, 3]))).all()
    np.testing.assert_allclose(counts.double().mean(0), repeats, atol=0.05)
    assert any(not torch.equal(images, images.sort().values) for images in lists)
    again = epoch_list(repeats, torch.Generator().manual_seed(0))
    assert torch.equal(again, lists[0])
