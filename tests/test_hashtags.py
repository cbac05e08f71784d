# ruff: noqa: RUF001
"""Normalisation and splitting: fixed points, and real hashtags where there are some."""

import csv
import tarfile
from pathlib import Path

import pytest

from corpus.hashtags.normal import normalise, split_tags

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
