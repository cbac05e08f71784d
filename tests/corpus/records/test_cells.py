"""Cells: lists however they were written as text, words after '#', and what is no list."""

import json

import pytest

from corpus.records import cells
from corpus.records.cells import caption_tags, cell_tags, cell_text, parse_list, word_list

LISTS = {
    '["猫", "café"]': ["猫", "café"],
    json.dumps(["猫", "café", "😀"]): ["猫", "café", "😀"],  # with escapes
    "['a', \"it's\"]": ["a", "it's"],
    "['a' 'b'\n 'c']": ["a", "b", "c"],  # numpy's
    "('a',)": ["a"],
    "{'a', 'b'}": ["a", "b"],
    "[]": [],
    "['a', None, nan, 3]": ["a"],
    "['c:\\\\x', 'a\nb']": ["c:\\x", "a\nb"],
}


@pytest.mark.parametrize("cell", LISTS)
def test_lists_written_as_text(cell):
    assert parse_list(cell) == LISTS[cell]


@pytest.mark.parametrize(
    "cell", ["sea", "[sea, sun]", "['a'] + ['b']", "[f('a')]", "{'a': x}", "['a"]
)
def test_what_is_no_list_of_texts(cell):
    assert parse_list(cell) is None


def test_a_list_is_never_evaluated_and_bounded(monkeypatch):
    assert parse_list("[" * 200_000 + "]" * 200_000) is None
    assert parse_list("['" + "\\" * 200_001 + "']") is None
    monkeypatch.setattr(cells, "MAX_LIST", 10)
    assert parse_list('["aaaaaaaaaa"]') is None


def test_hashtags_of_cells():
    assert cell_tags(["#sea", None, {"x": 1}, 5, "a b"]) == ["sea", "5", "a", "b"]
    assert (
        cell_tags('["golden retriever"]') == ["golden", "retriever"]
        and cell_tags(None) == cell_tags("[]") == []
    )
    assert cell_text(float("nan")) is None and cell_text(b"caf\xc3\xa9") == "café"


def test_only_words_after_signs_are_hashtags_of_captions():
    captions = [
        "what a day! #sea#sun,rain http://x/#no \uff03höhe",
        ["#x y", None],
        5,
        "# love",
        None,
    ]
    assert caption_tags(captions) == ["sea", "sun", "höhe", "x"]


def test_a_list_of_words_is_no_caption():
    assert word_list("sea, sun\nhöhe;") == ["sea", "sun", "höhe"] and word_list("sea") == ["sea"]
    assert word_list("a day at the sea") == word_list("a dog, at the sea") == word_list(None) == []
