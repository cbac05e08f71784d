# ruff: noqa: RUF001
"""Normalisation and splitting: fixed points, and real hashtags where there are some."""

import csv
import random
import re
import tarfile
import time
import unicodedata
from pathlib import Path

import pytest

from corpus.hashtags.normal import (
    BARS,
    BULLETS,
    COMMAS,
    SEMICOLONS,
    STOPS,
    letters,
    normalise,
    split_tags,
)
from corpus.records.cells import cell_tags as of_cell

ARCHIVE = Path(__file__).parents[4] / "shared" / "data" / "hashtags.tar.xz"


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


@pytest.mark.parametrize(
    ("typed", "tag"),
    [
        ("#nike™", "nike"),
        ("travelℹ️", "travel"),
        ("#㊙️", None),
        ("#nikeⓇ", "nike"),
        ("①cat", "cat"),
        ("Ⓜ️park", "park"),
        ("㈱トヨタ", "トヨタ"),
        ("🅰️team", "team"),
        ("brandⓂ🅫℠", "brand"),
        ("ⓓⓞⓖ", "dog"),  # a word in fancy letters is no sign
        ("𝓭𝓸𝓰", "dog"),
        ("top1️⃣0️⃣", "top10"),
        ("km²", "km2"),
        ("30℃", "30c"),
        ("№5", "no5"),
        ("ســـلام", "سلام"),
        ("\ufe71سلام", "سلام"),
        ("ㅤ", None),  # HANGUL FILLER, a letter to Unicode
        ("葛\U000e0100飾", "葛飾"),
        ("par\u00adk\u200b\u2060", "park"),
        ("می\u200cخواهم", "میخواهم"),  # one word with and without the joiner
        ("ශ්\u200dරී", "ශ්රී"),
        ("it\u00b4s", "its"),
        ("cafe\u00b4", "café"),
    ],
)
def test_signs_are_no_letters_and_what_shows_nothing_makes_no_class(typed, tag):
    assert normalise(typed) == tag
    assert tag is None or normalise(tag) == tag


def test_any_text_has_one_form():
    rng, signs = random.Random(0), [chr(code) for code in range(0x20, 0x3400)]
    for _ in range(3000):
        form = letters("".join(rng.choices(signs, k=6)))
        assert letters(form) == form


def test_signs_of_all_scripts_part_tags():
    signs = COMMAS + SEMICOLONS + BARS + BULLETS + STOPS
    for sign in signs:
        tags = split_tags(f"dog{sign}cat {sign} 猫{sign}")
        assert tags == ["dog", "cat", "猫"], unicodedata.name(sign)
    ends = re.compile("COMMA$|SEMICOLON$").search
    named = {sign for sign in map(chr, range(0x3000)) if ends(unicodedata.name(sign, ""))}
    # a quote, a formula's, mediaeval ones
    odd = set("\u201a\u204f\u2e32\u2e34\u2e35\u2e41\u2e49\u2e4c\u2a1f")
    assert {sign for sign in named if unicodedata.category(sign)[0] != "L"} - set(signs) <= odd
    assert split_tags("#dog﹟cat＃bird") == ["dog", "cat", "bird"] and split_tags("  , # ") == []


def test_dots_part_words_or_stand_within_them():
    assert split_tags("col·lecció paral·lel gat·gos") == ["col·lecció", "paral·lel", "gat", "gos"]
    assert split_tags("列奥纳多·达·芬奇 γάτα· σκύλος") == ["列奥纳多·达·芬奇", "γάτα", "σκύλος"]
    assert split_tags("レオナルド・ダ・ヴィンチ 京都・大阪 猫・cat") == [
        "レオナルド・ダ・ヴィンチ",
        "京都",
        "大阪",
        "猫",
        "cat",
    ]
    assert split_tags("#col·lecció #gat·gos") == ["col·lecció", "gat"]
    assert normalise("col·lecció") == "collecció" and normalise("ダ・ヴィンチ") == "ダヴィンチ"


@pytest.mark.parametrize(
    ("cell", "tags"),
    [
        ("what a day! #airplane #love", ["airplane", "love"]),
        ("#a#b, c;d|e\tf ＃g、h", ["a", "b", "g"]),
        ("dog, cat;bird | sun set", ["dog", "cat", "bird", "sun", "set"]),
        ("see http://x/#frag (HTTPS://y.z/#no) www.a.b/#c t.co/x#y", []),
        ("#yes,http://x/#no #v2.0 #z.", ["yes", "v2.0", "z."]),
        (
            "(#sun) “#moon” #love!so #夕焼け。きれい #dog@ann",
            ["sun", "moon", "love", "夕焼け", "dog"],
        ),
        ("we are # 1", []),
        ('["猫", "caf\\u00e9"]', ["猫", "café"]),
        ('["#dog", "cat"]', ["dog", "cat"]),
        ("['#dog', 'it\\'s', \"cat's\"]", ["dog", "it's", "cat's"]),
        ("['dog' 'cat'\n 'bird']", ["dog", "cat", "bird"]),
        ("[]", []),
        ("[dog, cat]", ["[dog", "cat]"]),
    ],
)
def test_a_cell_is_a_caption_or_a_list(cell, tags):
    assert of_cell(cell) == tags


def test_a_hostile_cell_is_read_in_time():
    for cell in (
        '["a"' * 50_000,
        "[" * 100_000,
        "a.b" * 100_000 + "#c",
        "['\\" * 50_000,
        "·l" * 100_000,
        "#" * 100_000,
    ):
        start = time.process_time()
        of_cell(cell)
        assert time.process_time() - start < 5


def test_real_tags_survive_normalisation_and_keep_their_spelling():
    tags = [tag for row in real("flickr_dresden_tags") for tag in row["tags"].split(";") if tag]
    tags += [row["hashtag"] for row in real("hashtag_segmentation")]
    kept = [tag for tag in map(normalise, tags) if tag]
    assert len(tags) > 50_000 and len(kept) > 0.95 * len(tags)
    assert all(normalise(tag) == tag for tag in set(kept))
