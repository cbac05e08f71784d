"""Annotation files of COCO's JSON, of any size, in bounded memory.

A file is read once to find where each entry of its lists begins and ends: 32 bytes of memory for
each, twice while they are sorted by image. Entries are read again, and parsed one by one, when
their image's turn comes; so an entry that is no JSON, or holds NaN, which Python writes and JSON
has not, costs itself alone. ijson would stop at it, and cannot say where entries lie: each would
have to be written to a second file to be put in order.
"""

import json
import os
import re
from array import array
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

CHUNK = 8 << 20  # bytes looked at together
LARGEST = 256 << 20  # bytes of one entry
NONE = -(1 << 63)  # in the place of an id that is no whole number
KEY = re.compile(rb'"([^"\\]*)"\s*:\s*$')
NUMBERS = {}
for _key in ("id", "image_id"):
    NUMBERS[_key] = re.compile(rb'"%s"\s*:\s*(-?\d{1,18})\s*[,}]' % _key.encode())
_TOKENS = np.zeros(256, bool)
_TOKENS[[*b'"{}[]']] = True


class Entry(NamedTuple):
    """An entry of a list: the list's name, where it begins, its bytes."""

    section: str
    offset: int
    data: bytes


class _Scan(NamedTuple):
    """What a piece of a file holds.

    lists: (position, name or None) where a value of the outer object begins; starts and ends of
    entries; up to where it is done with, and how deep within brackets that is.
    """

    lists: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    done: int
    depth: int
    lowest: int


def _scanned(piece: bytes, depth: int) -> _Scan:
    """The brackets of a piece that begins outside of strings, `depth` brackets deep."""
    data = np.frombuffer(piece, np.uint8)
    at = np.flatnonzero(_TOKENS[data])
    quote = data[at] == 34
    if b"\\" in piece:
        escaped = _escaped(data, at, quote)
        at, quote = at[~escaped], quote[~escaped]
    within = np.cumsum(quote) & 1
    brackets = at[~quote & (within == 0)]
    opens = (data[brackets] & 2) > 0  # of { and [, not of } and ]
    deep = depth + np.cumsum(np.where(opens, 1, -1))
    starts, ends = brackets[opens & (deep == 3)], brackets[~opens & (deep == 2)]
    lists = brackets[opens & (deep == 2)]
    last = int(deep[-1]) if deep.size else depth
    done = len(piece)
    if len(starts) > len(ends):
        done, last = int(starts[-1]), 2
    elif within.size and within[-1]:
        done = int(at[quote][-1])
    return _Scan(lists, starts, ends, done, last, int(deep.min()) if deep.size else depth)


def _escaped(data: np.ndarray, at: np.ndarray, quote: np.ndarray) -> np.ndarray:
    """Which of the tokens are quotes behind an odd number of backslashes."""
    found = np.zeros(len(at), bool)
    for i in np.flatnonzero(quote & (at > 0) & (data[at - 1] == 92)).tolist():
        first = last = int(at[i]) - 1
        while first > 0 and data[first - 1] == 92:
            first -= 1
        found[i] = (last - first) % 2 == 0
    return found


class JsonLists:
    """The entries of lists in the outer object of a JSON file.

    ValueError, with cause and fix, for a file that is no such JSON, or ends too early.
    """

    def __init__(self, path: Path, wanted: Collection[str]):
        self.path, self.wanted = path, wanted
        self.found: list[str] = []  # names of all values of the outer object that are no scalars
        try:
            self._file = os.open(path, os.O_RDONLY)
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error.strerror}); check its path") from None

    def __iter__(self) -> Iterator[Entry]:
        """Each entry, in the order of the file."""
        at, depth, section, size = 0, 0, "", CHUNK
        head = os.pread(self._file, 64, 0).removeprefix(b"\xef\xbb\xbf").lstrip()
        if head[:1] != b"{":
            begins = f"it begins with {head[:12]!r}, not {{" if head else "it is empty"
            raise ValueError(f"{self.path} is no COCO JSON: {begins}")
        while True:
            piece = os.pread(self._file, size, at)
            scan = _scanned(piece, depth)
            if scan.lowest < 0:
                raise ValueError(f"{self.path} is damaged: a bracket too many after byte {at:,}")
            names = [self._name(at + place) for place in scan.lists.tolist()]
            which = np.searchsorted(scan.lists, scan.starts).tolist()
            for i, end in enumerate(scan.ends[: len(scan.starts)].tolist()):
                start = int(scan.starts[i])
                name = names[which[i] - 1] if which[i] else section
                if name in self.wanted:
                    yield Entry(name, at + start, piece[start : end + 1])
            section, depth = names[-1] if names else section, scan.depth
            if len(piece) < size and (scan.done < len(piece) or depth):
                inside = f"in the list {section!r}" if section else "before its lists"
                end = f"{at + len(piece):,} bytes"
                raise ValueError(
                    f"{self.path} is cut off: it ends {inside}, after {end}; copy it again"
                )
            if len(piece) < size:
                return
            if not scan.done and size >= LARGEST:
                raise ValueError(f"{self.path} has an entry of over {LARGEST >> 20} MB at {at:,}")
            at, size = at + scan.done, CHUNK if scan.done else 2 * size

    def _name(self, at: int) -> str:
        """What a value of the outer object that begins there is called."""
        before = os.pread(self._file, min(at, 400), at - min(at, 400))
        found = KEY.search(before)
        name = found[1].decode("utf-8", "replace") if found else ""
        self.found.append(name)
        return name

    def at(self, offset: int, length: int) -> bytes:
        """The bytes of an entry."""
        return os.pread(self._file, length, offset)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)


def parsed(data: bytes) -> dict[str, Any]:
    """An entry; ValueError where it is no JSON object."""
    try:
        found = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found


def number_of(data: bytes, key: str) -> int:
    """The whole number that an entry has under a key of its own; NONE where it has none."""
    if data.count(b"{") == 1 and b"\\" not in data:
        found = NUMBERS[key].search(data)
        if found:
            return int(found[1])
    try:
        value = parsed(data).get(key)
    except ValueError:
        return NONE
    return value if type(value) is int and abs(value) < 1 << 62 else NONE


class Places:
    """Where entries lie: id, image's id, offset and length of each, 32 bytes."""

    def __init__(self):
        self._rows = array("q")

    def add(self, *row: int) -> None:
        """One entry."""
        self._rows.extend(row)

    def table(self) -> np.ndarray:
        """int64 (entries, 4): id, id of the image, offset, length."""
        return np.frombuffer(self._rows, np.int64).reshape(-1, 4)


class Annotations:
    """A COCO file: its images and categories, and of each image its annotations."""

    def __init__(self, path: Path):
        self._lists = JsonLists(path, ("images", "categories", "annotations"))
        self.categories: list[dict[str, Any]] = []
        try:
            self._read(path)
        except ValueError:
            self.close()
            raise

    def _read(self, path: Path) -> None:
        """Finds the places of all entries."""
        places = {"images": Places(), "annotations": Places()}
        for section, offset, data in self._lists:
            if section == "categories":
                self.categories.append(_category(path, data))
                continue
            of = number_of(data, "image_id") if section == "annotations" else 0
            places[section].add(number_of(data, "id"), of, offset, len(data))
        for needed in ("images", "categories", "annotations"):
            if needed not in self._lists.found:
                names = ", ".join(filter(None, self._lists.found)) or "none"
                lacks = f"it has no list {needed!r} (found: {names[:200]})"
                raise ValueError(f"{path} is no COCO JSON: {lacks}")
        self.images = places["images"].table()
        found = places["annotations"].table()
        self.annotations = found[np.argsort(found[:, 1], kind="stable")]
        self.repeated = repeats(found[:, 0])

    def entry(self, place: np.ndarray) -> bytes:
        """The bytes of an image or annotation."""
        return self._lists.at(int(place[2]), int(place[3]))

    def of(self, image: int) -> np.ndarray:
        """The places of an image's annotations, in the order of the file."""
        column = self.annotations[:, 1]
        low, high = np.searchsorted(column, [image, image + 1])
        return self.annotations[low:high]

    def homeless(self) -> np.ndarray:
        """The places of annotations whose image is not listed."""
        return self.annotations[~np.isin(self.annotations[:, 1], self.images[:, 0])]

    def close(self) -> None:
        """Closes the file."""
        self._lists.close()


def _category(path: Path, data: bytes) -> dict[str, Any]:
    try:
        return parsed(data)
    except ValueError as error:
        raise ValueError(f"{path} has a category that is {error}") from None


def repeats(ids: np.ndarray) -> frozenset[int]:
    """The ids that occur more than once."""
    values, counts = np.unique(ids, return_counts=True)
    return frozenset(values[(counts > 1) & (values != NONE)].tolist())
