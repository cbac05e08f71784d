"""One row of a source: what is said about an image, where its bytes lie, or why it cannot be
used.
"""

import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from corpus.sources.cells import caption_tags, cell_tags, cell_text

MAX_BYTES = 200 << 20  # of one image
LONGEST = 1000  # letters of a name that is told; more are no name
UNUSABLE = re.compile("[\0\ud800-\udfff]")  # what neither a file name nor Parquet can hold
CAPTIONS = ("caption", "text")
A, B = TypeVar("A"), TypeVar("B")


class Refused(ValueError):
    """One row that cannot be used; the others can."""


class SourceRow(NamedTuple):
    """A post or a labelled image before its image was read; with a reason it is refused already."""

    where: str  # for people: "posts.csv line 17", "00003.tar 000123"
    locator: (
        str  # what corpus.sources.source.fetch reads: a path, an s3:// address, or a part of a tar
    )
    fields: dict[str, Any]  # id, image; hashtags (list of str), user, time; or label, split
    reason: str = ""


def prefetch(
    function: Callable[[A], B], items: Iterable[A], threads: int = 8, ahead: int = 16
) -> Iterator[B]:
    """`map` in the given order, at most `ahead` items being worked on in threads."""
    with ThreadPoolExecutor(threads) as pool:
        running = deque()
        try:
            for item in items:
                running.append(pool.submit(function, item))
                if len(running) >= ahead:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()


def number_of(text: str) -> int:
    """A number below 2^64 that a text alone decides: the beginning of its SHA-256."""
    return int.from_bytes(hashlib.sha256(text.encode(errors="replace")).digest()[:8])


def split_of(key: str) -> str:
    """The split of an image whose source names none: 70 % train, 10 % val, 20 % test, by its id
    alone.
    """
    share = number_of(key) / 2**64
    return "train" if share < 0.7 else "val" if share < 0.8 else "test"


def row_fields(
    raw: dict[str, Any],
    kind: str,
    image: str,
    split: str | None = None,
) -> dict[str, Any]:
    """The fields of a row from what a source says: values as text, None where it says nothing.

    Where no hashtags are named, only words after '#' of a caption are. split: what folder or name
    say, where the row itself says nothing.
    """
    raw = {"split": split} | raw if split else raw
    fields = {"id": cell_text(raw.get("id")) or image, "image": image}
    if kind == "labels":
        split = cell_text(raw["split"]) or "train" if "split" in raw else split_of(fields["id"])
        return fields | {"label": cell_text(raw.get("label")), "split": split}
    captions = (raw.get(name) for name in CAPTIONS)
    return fields | {
        "hashtags": cell_tags(raw["hashtags"]) if "hashtags" in raw else caption_tags(captions),
        "user": cell_text(raw.get("user")),
        "time": cell_text(raw.get("time")),
    }


def printable_text(value: str) -> str:
    """Text of strangers so that it can be printed and written as UTF-8."""
    return UNUSABLE.sub("\ufffd", value)


def refused_row(where: str, reason: str, image: str = "") -> SourceRow:
    """The row of something that cannot be used."""
    name = printable_text(image[:LONGEST])
    return SourceRow(printable_text(where), "", {"id": name, "image": name}, printable_text(reason))


def checked_row(where: str, locator: str, fields: dict[str, Any]) -> SourceRow:
    """The row, refused where it lacks an image, hashtags or a label, or holds what no file can."""
    values = [
        item
        for value in fields.values()
        for item in (value if isinstance(value, list) else [value])
    ]
    if not fields["image"]:
        return refused_row(where, "no image name")
    if any(value and UNUSABLE.search(value) for value in values):
        return refused_row(
            where, "holds a NUL byte or half a character (a lone surrogate)", fields["image"]
        )
    if not fields.get("hashtags", True):
        return refused_row(where, "no hashtag", fields["image"])
    if not fields.get("label", True):
        return refused_row(where, "no label", fields["image"])
    return SourceRow(printable_text(where), locator, fields)


def leaves(name: str) -> bool:
    """Whether a name of strangers points out of the folder or archive that it is relative to."""
    parts = set(name.split("/"))
    return name.startswith("/") or ".." in parts or "\0" in name or not parts - {"", "."}
