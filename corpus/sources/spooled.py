"""Image bytes that lie within a table, put into one file each table, where locators point.

An import reads images in an order of its own, so that a table would be read once for each image.
The file is written anew whenever the table is read, the same bytes in the same places.
"""

import hashlib
import os
from pathlib import Path


class NoRoom(ValueError):
    """The disk cannot take the images: the next table's would not fit either."""


def file_key(file: Path, *more: str) -> str:
    """Tells a file from what it was before it changed, and from all others: 16 letters."""
    facts = file.stat()
    about = " ".join((f"{file.resolve()} {facts.st_size} {facts.st_mtime_ns}", *more))
    return hashlib.sha256(about.encode(errors="surrogateescape")).hexdigest()[:16]


class ImageSpool:
    """A file that grows by whole images."""

    def __init__(self, table: Path, kind: str, folder: Path):
        """`kind`: what is read from the table, since posts and labels take other rows of it."""
        self.path, self.at = folder.resolve() / f"{file_key(table, kind)}-images", 0
        self._file: int | None = None

    def add(self, data: bytes) -> str:
        """Appends an image; its locator can be read at once. NoRoom if the disk is full."""
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError as error:
            folder = self.path.parent
            message = f"cannot be spooled to {folder}: {error.strerror}; make room there"
            raise NoRoom(f"images of a table {message}") from None
        offset, self.at = self.at, self.at + len(data)
        return f"tar:{offset}+{len(data)}:{self.path}"

    def close(self) -> None:
        """Closes the file; it stays until the import has read it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
