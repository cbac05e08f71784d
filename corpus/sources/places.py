"""Where an image lies that a table names: below `--images`, the folder that nothing may leave."""

import os
import posixpath
import re
from pathlib import Path
from urllib.parse import unquote

from corpus.sources.rows import Refused, leaves

SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
LEAVES = "path leaves the image folder"


def _some(name: str) -> None:
    """Refused for a name that can be none of a file."""
    if "\0" in name or not set(name.split("/")) - {"", ".", ".."}:
        raise Refused(LEAVES)


def _web(name: str) -> Refused:
    scheme = SCHEME.match(name)[1]
    return Refused(f"an address ({scheme}), not a file: download it first, img2dataset packs tars")


class Folder:
    """Images below a local folder.

    A name is relative to the folder, else to where the table lies (`beside`) if that is below the
    folder, or the other way round (`nearest`); or it is an absolute path or file:// address of
    something in the folder. '..' and links are no matter as long as they end within.
    """

    def __init__(self, folder: str, beside: str | None = None, nearest: bool = False):
        self.root = os.path.realpath(folder)
        typed = os.path.abspath(folder)  # noqa: PTH100 (links stay; Path.absolute keeps '..')
        self.roots = {self.root, typed}
        other = self.root if beside is None else os.path.realpath(beside)
        self.beside = other if other != self.root and self._inside(other) else None
        self.bases = [self.root] if self.beside is None else [self.root, self.beside]
        self.bases = self.bases[::-1] if nearest else self.bases

    def place(self, name: str) -> tuple[str, str]:
        """(name below the folder, locator) of an image; Refused where it is none of the folder."""
        if SCHEME.match(name):
            if not name.lower().startswith("file://"):
                raise _web(name)
            name = unquote(name[7:].removeprefix("localhost"))
        _some(name)
        if "\\" in name and not os.path.lexists(f"{self.root}/{name}"):
            name = name.replace("\\", "/")  # written on Windows
        inside = self._below(name)
        return inside, f"{self.root}/./{inside}"

    def _below(self, name: str) -> str:
        """The name relative to the root."""
        up = ".." in name.split("/")
        if name.startswith("/"):
            for root in self.roots:
                if not up and name.startswith(f"{root}/"):
                    return name[len(root) + 1 :]
            return self._resolved(name)
        if up:
            return self._resolved(f"{self._base(name)}/{name}")
        if self._base(name) != self.root:
            return f"{os.path.relpath(self.beside, self.root)}/{name}"
        return name

    def _base(self, name: str) -> str:
        if self.beside is None:
            return self.root
        there = (base for base in self.bases if os.path.lexists(f"{base}/{name}"))
        return next(there, self.bases[0])

    def _resolved(self, path: str) -> str:
        """The same file, its folder without links and '..'; its own name stays, link or not."""
        folder, last = os.path.split(path)
        try:
            real = f"{os.path.realpath(folder)}/{last}"
        except (OSError, ValueError):
            raise Refused("file is missing") from None
        if last in ("", "..") or not self._inside(real):
            raise Refused(f"{LEAVES}: it is not below {self.root}, --images names that folder")
        return os.path.relpath(real, self.root)

    def _inside(self, path: str) -> bool:
        return f"{path}/".startswith(f"{self.root.rstrip('/')}/")


class Bucket:
    """Images below an s3:// prefix, by a relative name or a whole address.

    A name is relative to the prefix, or to where the table lies (`nearest`): S3 is not asked.
    """

    def __init__(self, prefix: str, beside: str | None = None, nearest: bool = False):
        self.prefix = prefix.rstrip("/") + "/"
        inside = nearest and beside is not None and f"{beside}/".startswith(self.prefix)
        self.inner = f"{beside}/"[len(self.prefix) :] if inside else ""

    def place(self, name: str) -> tuple[str, str]:
        """(name below the prefix, locator); Refused where it is none of the prefix."""
        _some(name)
        if name.startswith(self.prefix):
            name = name[len(self.prefix) :]
        elif SCHEME.match(name):
            other = name.startswith("s3://")
            raise Refused(f"{LEAVES}: --images is {self.prefix}") if other else _web(name)
        elif not name.startswith("/"):
            name = self.inner + name
        if ".." in name.split("/"):
            name = posixpath.normpath(name)
        if leaves(name):
            raise Refused(LEAVES)
        return name, self.prefix + name


def images_of(images: str, table: str, nearest: bool = False) -> Folder | Bucket:
    """The images of a folder or s3:// prefix that a table (a path or address) names.

    ValueError where there is no such folder.
    """
    beside = table.rpartition("/")[0] or "."
    if images.startswith("s3://"):
        return Bucket(images, beside, nearest)
    if not Path(images).is_dir():
        raise ValueError(f"image folder {images} is not found; check its path")
    return Folder(images, None if table.startswith("s3://") else beside, nearest)
