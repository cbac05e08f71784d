"""Patterns of names: braces as a shell writes them out, `*` and `?` under s3://."""

import fnmatch
import glob
import re
from collections.abc import Iterator
from pathlib import Path

from corpus.sources import s3

BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")
SPECIAL = re.compile(r"[*?\[]")
VARIES = re.compile(r"[*?\[{]")  # these, and where braces may begin


def expand_braces(pattern: str) -> Iterator[str]:
    """`a{00..02}` and `{a,b}` written out, one after the other, as a shell does."""
    match = BRACES.search(pattern)
    if not match:
        yield pattern
        return
    first, last, words = match.groups()
    if words is None:
        step = 1 if int(first) <= int(last) else -1
        parts = (f"{number:0{len(first)}d}" for number in range(int(first), int(last) + step, step))
    else:
        parts = iter(words.split(","))
    for part in parts:
        yield from expand_braces(pattern[: match.start()] + part + pattern[match.end() :])


def fixed_part(name: str) -> str:
    """A name up to its first `*`, `?` or `[`."""
    return SPECIAL.split(name)[0]


def local(name: str) -> list[str]:
    """The files of this machine that a name without braces stands for, in order.

    A file's itself.
    """
    return [name] if Path(name).exists() else sorted(glob.glob(name))  # noqa: PTH207


def is_pattern(name: str) -> bool:
    """Whether a name may stand for several."""
    return bool(SPECIAL.search(name) or BRACES.search(name))


def name_within(source: str, path: str) -> str:
    """What a file that a pattern stands for is called: its path from the first folder that varies.

    `shards/{train,test}/0.tar` -> `train/0.tar`; `shards/0.tar`, which is no pattern, -> `0.tar`.
    """
    matches = (sign.search(source) for sign in (SPECIAL, BRACES))
    found = [match.start() for match in matches if match]
    folder = source[: min(found, default=0)].rpartition("/")[0]
    if not found or not path.startswith(folder):
        return path.rpartition("/")[2]
    return path[len(folder) :].lstrip("/")


def matching_objects(url: str) -> Iterator[str]:
    """Addresses of the objects that an s3:// pattern stands for; `*` is no '/'."""
    for found in s3.keys(fixed_part(url)):
        if found.count("/") == url.count("/") and fnmatch.fnmatchcase(found, url):
            yield found
