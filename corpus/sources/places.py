"""Where an image lies that a table names: below `--images`, the folder that nothing may leave."""

import os
import posixpath
import re
from pathlib import Path
from urllib.parse import unquote

from corpus.sources.rows import Refused, leaves

SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
LEAVES = "path leaves the image folder"


def _web(name: str) -> Refused:
    scheme = SCHEME.match(name)[1]
    return Refused(f"an address ({scheme}), not a file: download it first, img2dataset packs tars")


class Folder:
    """Images below a local folder.

    A name is relative to the folder, else to where the table lies (`beside`) if that is below the
    folder; or an absolute path or file:// address of something in the folder. '..' and links are
    no matter as long as they end within.
    """

    def __init__(self, folder: str, beside: str | None = None):
        self.root = os.path.realpath(folder)
        typed = os.path.abspath(folder)  # noqa: PTH100 (links stay; Path.absolute keeps '..')
        self.roots = {self.root, typed}
        self.beside = None
        if beside is not None:
            other = os.path.realpath(beside)
            self.beside = other if other != self.root and self._inside(other) else None

    def place(self, name: str) -> tuple[str, str]:
        """(name below the folder, locator) of an image; Refused where it is none of the folder."""
        if SCHEME.match(name):
            if not name.lower().startswith("file://"):
                raise _web(name)
            name = unquote(name[7:].removeprefix("localhost"))
        if "\0" in name or not set(name.split("/")) - {"", ".", ".."}:
            raise Refused(LEAVES)
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
        if self.beside is None or os.path.lexists(f"{self.root}/{name}"):
            return self.root
        return self.beside if os.path.lexists(f"{self.beside}/{name}") else self.root

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
    """Images below an s3:// prefix, by a relative name or a whole address."""

    def __init__(self, prefix: str):
        self.prefix = prefix.rstrip("/") + "/"

    def place(self, name: str) -> tuple[str, str]:
        """(name below the prefix, locator); Refused where it is none of the prefix."""
        if name.startswith(self.prefix):
            name = name[len(self.prefix) :]
        elif SCHEME.match(name):
            other = name.startswith("s3://")
            raise Refused(f"{LEAVES}: --images is {self.prefix}") if other else _web(name)
        if ".." in name.split("/"):
            name = posixpath.normpath(name)
        if leaves(name):
            raise Refused(LEAVES)
        return name, self.prefix + name


def images_of(images: str, beside: str | None = None) -> Folder | Bucket:
    """The images of a folder or s3:// prefix; ValueError where there is no such folder."""
    if images.startswith("s3://"):
        return Bucket(images)
    if not Path(images).is_dir():
        raise ValueError(f"image folder {images} is not found; check its path")
    return Folder(images, beside)
