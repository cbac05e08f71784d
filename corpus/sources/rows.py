"""One row of a source: what is said about an image, where its bytes lie, or why it cannot be
used.
"""

import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from corpus.records.cells import cell_text

MAX_BYTES = 200 << 20  # of one image
LONGEST = 1000  # letters of a name that is told; more are no name
UNUSABLE = re.compile("[\0\ud800-\udfff]")  # what neither a file name nor Parquet can hold
A, B = TypeVar("A"), TypeVar("B")


class Refused(ValueError):
    """One row that cannot be used; the others can."""


class SourceRow(NamedTuple):
    """A post or a labelled image before its image was read; with a reason it is refused already."""

    where: str  # for people: "posts.csv line 17", "00003.tar 000123"
    locator: (
        str  # what corpus.sources.source.fetch reads: a path, an s3:// address, or a part of a tar
    )
    fields: dict[str, Any]  # id, image, split, and what the kind of the data set describes
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


def printable_text(value: str) -> str:
    """Text of strangers so that it can be printed and written as UTF-8."""
    return UNUSABLE.sub("\ufffd", value)


def refused_row(where: str, reason: str, image: str = "") -> SourceRow:
    """The row of something that cannot be used."""
    name = printable_text(image[:LONGEST])
    return SourceRow(printable_text(where), "", {"id": name, "image": name}, printable_text(reason))


def described_row(
    where: str,
    locator: str,
    raw: dict[str, Any],
    kind: str,
    image: str,
    split: str | None = None,
) -> SourceRow:
    """The row that a source's words on an image make, refused where they are no record of the kind.

    `split`: what folder or name say, where the row itself says nothing.
    """
    if not image:
        return refused_row(where, "no image name")
    # pyarrow, which whoever takes nothing but `Refused` from here need not have
    from corpus.records.kind import kind as kind_named

    raw, of = {"split": split} | raw if split else raw, kind_named(kind)
    fields = {"id": cell_text(raw.get("id")) or image, "image": image}
    try:
        described, reason = of.described(raw), ""
    except ValueError as error:
        described, reason = {}, str(error)
    if of.has_split:
        known = "split" in raw
        fields["split"] = cell_text(raw["split"]) or "train" if known else split_of(fields["id"])
    return checked_row(where, locator, fields | described, reason)


def checked_row(where: str, locator: str, fields: dict[str, Any], reason: str = "") -> SourceRow:
    """The row, refused with the reason or where it holds what no file can."""
    values = []
    for value in fields.values():
        values += value if isinstance(value, list) else [value]
    if any(isinstance(value, str) and UNUSABLE.search(value) for value in values):
        reason = "holds a NUL byte or half a character (a lone surrogate)"
    if reason:
        return refused_row(where, reason, fields["image"])
    return SourceRow(printable_text(where), locator, fields)


def leaves(name: str) -> bool:
    """Whether a name of strangers points out of the folder or archive that it is relative to."""
    parts = set(name.split("/"))
    return name.startswith("/") or ".." in parts or "\0" in name or not parts - {"", "."}
