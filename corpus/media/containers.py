"""Which container a video's bytes are, and whether the file is whole, from its first boxes alone.

FFmpeg is told the container and never asked to guess: what it would take for a playlist names other
files, which a stranger's bytes must not have read.
"""

import re
from typing import NamedTuple

LOOK = 512  # bytes that are enough to tell a container
_MOV = rb"....(ftyp|moov|mdat|wide|free|skip|pnot)"
_SIGNS = (
    (re.compile(_MOV, re.DOTALL), "mov"),
    (re.compile(rb"\x1aE\xdf\xa3"), "matroska"),
    (re.compile(rb"RIFF....AVI ", re.DOTALL), "avi"),
    (re.compile(rb"GIF8[79]a"), "gif"),
    (re.compile(rb"FLV\x01"), "flv"),
    (re.compile(rb"0&\xb2u\x8ef\xcf\x11"), "asf"),
    (re.compile(rb"OggS"), "ogg"),
    (re.compile(rb"\0\0\x01\xba"), "mpeg"),
    (re.compile(rb"G.{187}G.{187}G", re.DOTALL), "mpegts"),
    (re.compile(rb".{257}ustar", re.DOTALL), "frames"),
)
_USUAL = {"mov": "mp4", "matroska": "mkv", "frames": "frames.tar", "asf": "wmv", "ogg": "ogv"}
_USUAL |= {"mpeg": "mpg", "mpegts": "ts"}
_STILLS = re.compile(rb"....ftyp(heic|heix|hevc|heim|heis|mif1|msf1|avif|avis)", re.DOTALL)


class Container(NamedTuple):
    """FFmpeg's name of a container ("frames": a tar of images), and the usual ending of a file."""

    name: str
    ending: str


def container_of(data: bytes) -> Container | None:
    """The container that the bytes (LOOK of them, or all) begin as; None for no video."""
    if _STILLS.match(data):  # a photograph in the boxes of a film
        return None
    found = next((name for sign, name in _SIGNS if sign.match(data[:LOOK])), None)
    if found is None:
        return None
    ending = _USUAL.get(found, found)
    if found == "mov" and data[4:12] == b"ftypqt  ":
        ending = "mov"
    if found == "matroska" and b"webm" in data[:64]:
        ending = "webm"
    return Container(found, ending)


def lacking(data: bytes, name: str) -> str:
    """What a file that was cut off lacks, as its boxes say; empty where it is whole.

    Of containers that do not tell how long they are: always empty.
    """
    if name == "gif":
        return "" if data.rstrip(b"\0").endswith(b";") else "its end mark is missing"
    told = {"mov": _mov_end, "matroska": _matroska_end, "avi": _riff_end}.get(name)
    try:
        end, whole = told(data) if told else (0, True)
    except IndexError:  # cut within a header
        return "it ends within a header"
    if end > len(data):
        return f"it says that it has {end:,} bytes, and has {len(data):,}"
    return "" if whole else "its index (moov) is missing"


def _mov_end(data: bytes) -> tuple[int, bool]:
    """Where the last box ends, and whether the index is there."""
    at, index = 0, False
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if size == 1:
            size = int.from_bytes(data[at + 8 : at + 16])
        if not kind.isalnum() and kind not in (b"skip", b"\xa9xyz"):
            break  # bytes behind the last box are no box
        index = index or kind == b"moov"
        if size == 0:
            return len(data), index
        if size < 8:
            break
        at += size
    return at, index


def _matroska_end(data: bytes) -> tuple[int, bool]:
    """Where the segment ends: 0 where it is written live, without a size."""
    at = 4
    head, at = _matroska_size(data, at)
    at += head or 0
    if data[at : at + 4] != b"\x18S\x80g":
        return 0, True
    size, at = _matroska_size(data, at + 4)
    return (0 if size is None else at + size), True


def _matroska_size(data: bytes, at: int) -> tuple[int | None, int]:
    """(a size of variable length, None for an unknown one; where its bytes end)."""
    first = data[at]
    length = 9 - first.bit_length()
    value = int.from_bytes(data[at : at + length]) & ((1 << 7 * length) - 1)
    return (None if value == (1 << 7 * length) - 1 else value), at + length


def _riff_end(data: bytes) -> tuple[int, bool]:
    return 8 + int.from_bytes(data[4:8], "little"), True
