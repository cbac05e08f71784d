"""The members of a tar of strangers, found by their headers alone: nothing is extracted, no path
is followed.

tarfile takes a damaged header for the end of the archive, reads an extended header of any length
into memory and keeps every member in a list; here the damage is named and stepped over, and memory
is constant. Formats: V7, USTAR, GNU, pax.
"""

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from corpus.sources.rows import leaves

BLOCK = tarfile.BLOCKSIZE
MAX_HEADER = 1 << 20  # bytes of an extended header
LINKS = {tarfile.LNKTYPE: "a hard link", tarfile.SYMTYPE: "a symbolic link"}
DEVICES = {tarfile.CHRTYPE: "a device", tarfile.BLKTYPE: "a device", tarfile.FIFOTYPE: "a FIFO"}
SPECIAL = {**LINKS, **DEVICES, tarfile.GNUTYPE_SPARSE: "a sparse file"}
BARE = (*LINKS, *DEVICES, tarfile.DIRTYPE)  # no data follows, whatever their size says
PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
EXTENDED = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME)
PASSED = (
    tarfile.XGLTYPE,
    tarfile.GNUTYPE_LONGLINK,
)  # comments of the whole archive, targets of links


class Member(NamedTuple):
    """A file in a tar: where its bytes are, or why it cannot be used."""

    name: str
    offset: int
    size: int
    reason: str = ""


class Extended(NamedTuple):
    """What the headers before a header say of its member."""

    name: str | None = None
    size: int | None = None
    reason: str = ""


def _pax(data: bytes) -> Extended:
    """`<length> <key>=<value>\\n` records; those of interest here."""
    found: dict[bytes, bytes] = {}
    while data.strip(b"\0"):
        digits = data.split(b" ", 1)[0][:20]
        length = int(digits) if digits.isdigit() else 0
        record, data = data[:length], data[length:]
        key, equals, value = record[len(digits) + 1 :].partition(b"=")
        if not (equals and value.endswith(b"\n")):
            return Extended(reason="its pax header is broken")
        found[key] = value[:-1]
    size = found.get(b"size", b"")
    name = found.get(b"path")
    sparse = any(key.startswith(b"GNU.sparse.") for key in found)
    return Extended(
        name.decode("utf-8", "surrogateescape") if name else None,
        int(size) if size.isdigit() and len(size) < 20 else None,
        "a sparse file" if sparse else "",
    )


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _extended(file: BinaryIO, info: tarfile.TarInfo, at: int) -> Extended:
    if info.size > MAX_HEADER:
        return Extended(
            reason=f"its extended header has {info.size:,} bytes, allowed are {MAX_HEADER:,}"
        )
    file.seek(at)
    data = file.read(info.size)
    if info.type == tarfile.GNUTYPE_LONGNAME:
        return Extended(data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape"))
    return _pax(data)


def _sparse_blocks(file: BinaryIO, header: bytes, at: int) -> int:
    """Bytes of the maps that follow the header of an old GNU sparse file."""
    count, more = 0, header[482]
    file.seek(at)
    while more:
        block = file.read(BLOCK)
        count, more = count + BLOCK, len(block) == BLOCK and block[504]
    return count


def _next_header(file: BinaryIO, at: int, end: int) -> int:
    """The first place from `at` on where a header stands, or the end."""
    file.seek(at)
    while at + BLOCK <= end:
        block = file.read(BLOCK)
        if block[257:262] == b"ustar" and _info(block):
            return at
        at += BLOCK
    return end


def _info(block: bytes) -> tarfile.TarInfo | None:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return None
    return info if info.size >= 0 else None


def _fault(info: tarfile.TarInfo, name: str, extended: Extended) -> str:
    """Why a member cannot be used, or nothing."""
    kind = SPECIAL.get(info.type) or (
        "" if info.type in PLAIN else f"a member of unknown type {info.type!r}"
    )
    return extended.reason or kind or ("path leaves the archive" if leaves(name) else "")


class Archive:
    """A walk from header to header."""

    def __init__(self, file: BinaryIO):
        self.file, self.at, self.end = file, 0, os.fstat(file.fileno()).st_size
        self.extended = Extended()
        self.ended = (
            False  # whether the end mark was the last thing seen, or it was told why there is none
        )

    def __iter__(self) -> Iterator[Member]:
        while self.at + BLOCK <= self.end:
            self.file.seek(self.at)
            header = self.file.read(BLOCK)
            self.at, self.ended = self.at + BLOCK, not any(header)
            member = None if self.ended else self._member(header)
            if member:
                yield member
        if not self.ended:
            yield Member(
                "",
                self.at,
                0,
                "the archive ends without its end mark: it was cut off, what followed is lost",
            )

    def _member(self, header: bytes) -> Member | None:
        info, start = _info(header), self.at - BLOCK
        extended, self.extended = self.extended, Extended()
        if info is None:
            self.at = _next_header(self.file, self.at, self.end)
            self.ended = self.at == self.end
            return Member(
                "",
                start,
                0,
                f"no tar header in the bytes from {start:,} to {self.at:,}, they are lost",
            )
        if info.type in EXTENDED + PASSED:
            told = _extended(self.file, info, self.at) if info.type in EXTENDED else Extended()
            self.extended = Extended(*(new or old for new, old in zip(told, extended, strict=True)))
            self.at += _padded(info.size)
            return None
        if info.type == tarfile.GNUTYPE_SPARSE:
            self.at += _sparse_blocks(self.file, header, self.at)
        name, offset = extended.name or info.name, self.at
        size = info.size if extended.size is None else extended.size
        if info.type in BARE:
            size = 0
        self.at += _padded(size)
        if offset + size > self.end:
            self.at, self.ended = self.end, True
            return Member(
                name, offset, 0, "the archive is cut off inside it, what followed is lost"
            )
        return (
            None
            if info.type == tarfile.DIRTYPE
            else Member(name, offset, size, _fault(info, name, extended))
        )


def members(path: Path) -> Iterator[Member]:
    """Files of a tar in its order, folders passed over.

    Damage and what is no file come as members with a reason.
    """
    with path.open("rb") as file:
        yield from Archive(file)
