"""The split that a folder's or file's name says: train, val or test."""

import re
from collections.abc import Sequence

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
WORD = re.compile(r"[^a-z]+")


def split_named(name: str) -> str | None:
    """The split that a whole name says (`Train`), whatever its case."""
    return SPLITS.get(name.lower())


def split_within(parts: Sequence[str]) -> str | None:
    """The split that a path of folders and a file says: its last part that says one, by a word.

    `("data", "train-00000-of-00002.parquet")` is train; `train_test.csv`, which says two, is none.
    """
    for part in reversed(parts):
        found = {SPLITS[word] for word in WORD.split(part.lower()) if word in SPLITS}
        if found:
            return found.pop() if len(found) == 1 else None
    return None
