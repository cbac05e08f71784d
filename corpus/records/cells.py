"""Cells of strangers' tables: a single value, hashtags in one string or a list, words after '#'."""

import ast
import json
import re
from collections.abc import Iterable
from datetime import date
from typing import Any

from corpus.hashtags.normal import BARS, COMMAS, SEMICOLONS, split_tags
from corpus.hashtags.normal import hash_words as after_signs

MAX_LIST = 1 << 20  # characters of a list written as text; MAX_TAGS hashtags have a tenth of it
QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
BARE = re.compile(r"[\[\](){},\s]|None|null|nan|NaN|[+-]?\d+(?:\.\d*)?")
SEPARATED = re.compile(rf"[\n{COMMAS}{SEMICOLONS}{BARS}]")


def cell_text(value: Any) -> str | None:
    """A single value as text; None for an empty cell, and for what is not a single value."""
    if value is None or isinstance(value, (dict, list, tuple)) or value != value:
        return None  # the last is NaN, pandas' empty cell
    if isinstance(value, bytes):  # a Parquet column of strings that nobody declared as such
        value = value.decode("utf-8", "surrogateescape")
    return value.isoformat() if isinstance(value, date) else str(value).strip() or None


def _unquoted(token: str) -> str:
    try:
        return ast.literal_eval(token)
    except (ValueError, SyntaxError):  # a line break within quotes, a broken escape
        return token[1:-1]


def parse_list(cell: str) -> list[Any] | None:
    """The items of a list that was written as text; None where a cell is no such list.

    JSON (`["a", "caf\\u00e9"]`), Python's repr of a list, tuple or set, and numpy's, which has no
    commas: `['a' 'b']`. Read as JSON, else quoted string by quoted string; never evaluated.
    """
    if len(cell) > MAX_LIST or cell[:1] + cell[-1:] not in ("[]", "()", "{}"):
        return None
    try:
        found = json.loads(cell)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, list):
        return found
    strings = QUOTED.findall(cell)
    rest = BARE.sub("", QUOTED.sub(" ", cell))
    return [_unquoted(string) for string in strings] if strings and not rest else None


def _items(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return list(value)
    cell = cell_text(value)
    found = None if cell is None else parse_list(cell)
    return [cell] if found is None else found


def cell_tags(value: Any) -> list[str]:
    """Hashtags as typed, without '#', of one string, of a list, or of a list written as text."""
    return [tag for item in _items(value) for tag in split_tags(cell_text(item) or "")]


def word_list(text: str | None) -> list[str]:
    """The words of a text that is a list of them, with commas or lines between; none of a caption.

    `sea, sun` and `sea` are lists; `a day at the sea` is none, nor is `sea sun`, which may be one.
    """
    parts = [part.strip() for part in SEPARATED.split(text or "")]
    return cell_tags(text) if all(len(part.split()) <= 1 for part in parts) else []


def caption_tags(captions: Iterable[Any]) -> list[str]:
    """The words after '#' of captions, those of links left out: other words are no hashtags."""
    found = []
    for caption in captions:
        for item in _items(caption):
            found += after_signs(cell_text(item) or "")
    return found
