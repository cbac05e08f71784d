"""Normalisation at its edges and splitting of merged words: invariants, and gold splits of real
hashtags.
"""

import csv
import random
import unicodedata

import pytest

from corpus.hashtags.normal import MAX_LETTERS, normalise, normalise_or_why
from corpus.hashtags.words import LONGEST, Splitter, case, chunks


@pytest.fixture(scope="module")
def split() -> Splitter:
    return Splitter()


@pytest.mark.parametrize(
    ("typed", "form", "why"),
    [
        ("#a\u200db\u200e\u202ec\x00", "abc", ""),  # joiner, bidi marks, control
        ("😀👩‍👩‍👧", None, "no letter or digit"),
        ("\ud800", None, "no letter or digit"),
        ("1️⃣2", None, "digits only"),
        ("é", None, "a single letter"),
        ("\u0301é", None, "a single letter"),  # a mark without a letter
        ("한국", "한국", ""),
        ("\u1112\u1161\u11ab\u1100\u116e\u11a8", "한국", ""),  # the same in jamo
        ("ｶﾒﾗ", "カメラ", ""),
        ("IŞIK", "işik", ""),
        ("ﷺ" * 900, None, f"more than {MAX_LETTERS} letters"),
        ("x" * 1_000_000, None, f"more than {MAX_LETTERS} letters"),
        ("x" * MAX_LETTERS, "x" * MAX_LETTERS, ""),
        ("x" * (MAX_LETTERS + 1), None, f"more than {MAX_LETTERS} letters"),
    ],
)
def test_what_is_dropped_has_a_reason(typed, form, why):
    assert normalise_or_why(typed) == (form, why)


def test_normalised_tags_stay_as_they_are_whatever_was_typed():
    rng = random.Random(0)
    kinds = ("Mn", "Mc", "Lo", "Ll", "Lu", "Lm", "Nl", "No", "Cf")
    pool = [chr(code) for code in range(0x20000) if unicodedata.category(chr(code)) in kinds]
    forms = {normalise("".join(rng.choices(pool, k=4))) for _ in range(20_000)} - {None}
    assert len(forms) > 10_000 and all(normalise(form) == form for form in forms)


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("goldenretriever", "golden retriever"),
        ("#GoldenRetrieverPuppy", "golden retriever puppy"),
        ("#LoveIsland", "love island"),
        ("#USAToday", "usa today"),
        ("golden_retriever", "golden retriever"),
        ("dontworry", "dont worry"),
        ("#don'tworry", "dont worry"),
        ("party2k17", "party 2k17"),
        ("vacation2017", "vacation 2017"),
        ("i❤️nyc", "i nyc"),
        ("sunset", "sunset"),
        ("İstanbulCity", "istanbul city"),
        ("красныйкруг", "красныйкруг"),
        ("हिन्दी", "हिन्दी"),
        ("#", ""),
    ],
)
def test_split(split, tag, words):
    assert " ".join(split(tag)) == words


def test_typed_case_is_evidence(split):
    assert split("nowhere") == ("nowhere",) and split("NowHere") == ("now", "here")
    assert (case("Sunset"), case("SUNSET"), case("sunset"), case("SunSet")) == (
        "first",
        "one",
        "one",
        "mixed",
    )


def test_extra_words_are_known(split):
    assert split("красныйкруг") == ("красныйкруг",)
    assert Splitter({"красный": 1e-5, "круг": 1e-5})("красныйкруг") == ("красный", "круг")


def test_words_joined_are_the_normalised_tag(split):
    rng = random.Random(1)
    pool = "abcdeXYZ0123_'-é☀ßİ한क्ी"
    for _ in range(3000):
        tag = "".join(rng.choices(pool, k=rng.randint(1, 30)))
        form = normalise(tag)
        if form:
            assert "".join(split(tag)) == form
            assert all(0 < len(word) <= LONGEST or word == form for word in split(tag))
        assert all(len(typed) == len(low) for typed, low in chunks(tag))


def test_real_tags_are_split_as_people_do(split, pack):
    with (pack("hashtags") / "hashtag_segmentation.tsv").open(encoding="utf-8", newline="") as file:
        rows = [
            row
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            if row["split"] == "test"
        ]
    right = 0
    for row in rows:
        golds = row["gold_segmentations"].replace("'", "").replace("_", " ").lower().split("|")
        right += " ".join(split(row["hashtag"])) in {" ".join(gold.split()) for gold in golds}
    assert len(rows) == 9447 and right > 0.88 * len(rows), right / len(rows)
