"""Folders of images by class, each file of any depth a row, or counted and refused with its reason.

- root/class/.../image: the class is the first level below the root, however deep the image lies.
- root/split/class/.../image: folders of the root that are all named as splits (train, val, valid,
  validation, test, training, testing; any case), or name two different ones, are splits; the class
  is the level below.
- root/class/split/.../image: where all folders in class folders are named as splits, two different
  ones at least; an image beside them is train.

For a set of videos a folder below that of a class is one video where it holds images and no video
(framefolders.py).

Without splits in names images are split 70/10/20 by their path. Ids are paths below the root.
Hidden files and those of the system are left alone and counted; whether a file is an image is seen
when its bytes are read. A link may lead anywhere within the root, or within `allowed`; in a folder
that is reached by a link no further link to a folder is followed.
"""

import hashlib
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from corpus.records.kind import kind as kind_named
from corpus.sources.entries import folders, nobodys
from corpus.sources.framefolders import PREFIX, frame_names
from corpus.sources.rows import SourceRow, described_row, refused_row
from corpus.sources.splits import split_named

OUTSIDE = "link leaves the folder: it leads to {}, which `--images {}` allows"
NO_FILE = "no file but a device, a FIFO or a socket"
DEEPEST = 50  # folders below the root


class File(NamedTuple):
    """A file below the root, or what stands there: its path, where to read it, or why not."""

    name: str
    locator: str
    reason: str = ""


class Image(NamedTuple):
    """A file of a class."""

    file: File
    label: str
    split: str | None


def _entries(folder: Path) -> tuple[list[str], dict[str, os.DirEntry]]:
    """Names in a folder in their order, and the entries of those that are no plain files."""
    names, others = [], {}
    with os.scandir(folder) as found:
        for entry in found:
            names.append(entry.name)
            if not entry.is_file(follow_symlinks=False):
                others[entry.name] = entry
    return sorted(names), others


class Tree:
    """The files below a root by their names; one folder's names are in memory at a time."""

    def __init__(self, root: Path, allowed: Path | None, left: Counter[str], deep: int = 0):
        """deep: folders of frames are files from this many folders below the root on; 0: never."""
        self.root, self.left, self.deep = root.resolve(), left, deep
        self.bases = [self.root, *([allowed.resolve()] if allowed else [])]

    def files(self) -> Iterator[File]:
        """All of them; what cannot be entered or read with its reason."""
        yield from self._below("", self.root, None)

    def _below(self, inside: str, folder: Path, linked: str | None) -> Iterator[File]:
        """`inside`: its path below the root with '/' behind; `linked`: its locator if by a link."""
        if inside.count("/") > DEEPEST:
            yield File(inside.rstrip("/"), "", f"folder more than {DEEPEST} folders deep")
            return
        try:
            names, others = _entries(folder)
        except OSError as error:
            yield File(inside.rstrip("/"), "", f"folder cannot be read: {error.strerror}")
            return
        if not names and inside:
            self.left["empty folder"] += 1
        if self.deep and inside.count("/") >= self.deep:
            frames = frame_names(names, others)
            if frames:
                place = f"{self.root}/./{inside.rstrip('/')}" if linked is None else linked
                yield File(inside.rstrip("/"), f"{PREFIX}:{place}")
                names = [name for name in names if name not in frames]
        for name in names:
            here = f"{self.root}/./{inside}{name}" if linked is None else f"{linked}/{name}"
            why = nobodys(name)
            if why:
                self.left[why] += 1
            elif name in others:
                yield from self._other(inside + name, others[name], linked is not None, here)
            else:
                yield File(inside + name, here)

    def _other(self, name: str, entry: os.DirEntry, linked: bool, here: str) -> Iterator[File]:
        """What an entry that is no plain file has."""
        if entry.is_symlink():
            yield from self._link(name, Path(entry.path), linked)
        elif entry.is_dir():
            yield from self._below(f"{name}/", Path(entry.path), here if linked else None)
        else:
            yield File(name, here, NO_FILE)

    def _link(self, name: str, link: Path, linked: bool) -> Iterator[File]:
        try:
            real = link.resolve(strict=True)
        except (OSError, RuntimeError):  # links in a circle; OSError from Python 3.13 on
            yield File(name, "", "link to nothing")
            return
        base = next((base for base in self.bases if real.is_relative_to(base)), None)
        here = f"{base}/./{real.relative_to(base)}" if base else ""
        if not base:
            folder = real if real.is_dir() else real.parent
            yield File(name, "", OUTSIDE.format(folder, folder))
        elif not real.is_dir():
            yield File(name, here, "" if real.is_file() else NO_FILE)
        elif linked or link.parent.resolve().is_relative_to(real):
            yield File(name, "", "link to a folder within a linked one, or to one that holds it")
        else:
            yield from self._below(f"{name}/", real, here)


def _folders(folder: Path) -> list[str]:
    return [entry.name for entry in folders(folder)]


def layout(root: Path) -> str:
    """Where the splits are: "above" the classes, "below" them, or in "no" name."""
    names = _folders(root)
    named = [name for name in names if split_named(name)]
    if len({*map(split_named, named)}) > 1:
        return "above"
    if named and len(named) == len(names) and any(_folders(root / name) for name in named):
        return "above"
    inner = [_folders(root / name) for name in names]
    splits = {split_named(name) for within in inner for name in within}
    return "below" if all(inner) and len(splits) > 1 and None not in splits else "no"


def _placed(file: File, splits: str) -> Image:
    first, *more = file.name.split("/")
    if splits == "above":
        split = split_named(first) if more else None
        label, more = (more[0], more[1:]) if split and len(more) > 1 else ("", more)
    else:
        label, split = (first, None) if more else ("", None)
        if splits == "below" and label:
            split = split_named(more[0]) if len(more) > 1 else "train"
    if file.reason or label:
        return Image(file, label, split)
    where = "below a split" if splits == "above" else "below the root"
    return Image(file._replace(reason=f"lies in no class folder {where}"), "", None)


def class_images(
    root: Path,
    allowed: Path | None = None,
    left: Counter[str] | None = None,
    media: str = "image",
) -> Iterator[Image]:
    """The images (or videos) of all classes; a file that is of none comes with its reason."""
    splits = layout(root)
    deep = (2 if splits == "no" else 3) if media == "video" else 0
    for file in Tree(root, allowed, Counter() if left is None else left, deep).files():
        yield _placed(file, splits)


def class_rows(
    found: Iterator[Image],
    kind: str,
    about: Callable[[str, str], dict],
    first: Callable[[File], File] = lambda file: file,
) -> Iterator[SourceRow]:
    """Rows of images; `about` says from class and name what is said of one.

    `first`: of files that are one image, the one that gives it its name.
    """
    for file, label, split in found:
        if file.reason:
            yield refused_row(file.name, file.reason, file.name)
        else:
            raw, (name, locator, _) = about(label, file.name), first(file)
            yield described_row(file.name, locator, raw, kind, name, split)


def labelled_rows(
    root: Path,
    allowed: Path | None = None,
    left: Counter[str] | None = None,
    kind: str = "labels",
) -> Iterator[SourceRow]:
    """The images of a folder with what their class says of them, their split where names say it.

    Where rows of one image are one record, files of the same bytes are the first of them.
    """
    of = kind_named(kind)
    found = class_images(root, allowed, left, of.media)
    same = {"first": Same(class_images(root, allowed)).first} if of.joins else {}
    return class_rows(found, kind, lambda label, name: of.of_class(label), **same)


class Same:
    """Which files of a folder have the same bytes: only those of one size are read and hashed."""

    def __init__(self, found: Iterator[Image]):
        """`found`: all files, looked at once before any of them is named."""
        sizes = Counter(size_of(image.file) for image in found if not image.file.reason)
        self._several = {size for size, count in sizes.items() if count > 1 and size is not None}
        self._first: dict[bytes, File] = {}

    def first(self, file: File) -> File:
        """The first file that had the bytes of this one: itself where none had."""
        if size_of(file) not in self._several:
            return file
        try:
            with Path(file.locator).open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").digest()
        except OSError:  # told when it is fetched
            return file
        return self._first.setdefault(digest, file)


def size_of(file: File) -> int | None:
    """Bytes of a file; None where it cannot be read."""
    try:
        about = Path(file.locator).stat()
    except OSError:
        return None
    return about.st_size if stat.S_ISREG(about.st_mode) else None
