"""Images that somebody names, with nothing said of them: what a trained network is asked about.

A name is a file, a folder with all below it, a pattern, a tar, a table with a column of names or of
images, or any of these under s3://. All are streamed, in an order that stays the same.
"""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from corpus.media.containers import LOOK, container_of
from corpus.sources import s3
from corpus.sources.archives import plain_tar, tar_shards
from corpus.sources.entries import nobodys
from corpus.sources.folders import below
from corpus.sources.formats import START, named_image, named_video, picture_ending
from corpus.sources.lines import Asked, Found
from corpus.sources.manifests import (
    ENDINGS,
    downloaded_table,
    embedded_image,
    is_manifest,
    named_cell,
    read_columns,
)
from corpus.sources.members import Member, members
from corpus.sources.patterns import expand_braces, is_pattern, local, matching_objects
from corpus.sources.places import Bucket, Folder, images_of
from corpus.sources.rows import MAX_BYTES, Refused, printable_text
from corpus.sources.source import fetch
from corpus.sources.tars import is_archive

DEEP = 64  # folders below one that is named
OTHER = {media: f"file that is no {media}" for media in ("image", "video")}
NAMED = {"image": named_image, "video": named_video}


class NamedImage(NamedTuple):
    """An image before it was read: its name; what `fetch` reads, its bytes, or why it is none."""

    name: str
    locator: str
    reason: str = ""
    data: bytes | None = None

    def read(self) -> bytes:
        """The bytes of the image; ValueError says why there are none.

        s3.Unreachable where S3 itself fails, and would for the next image too.
        """
        if self.reason:
            raise Refused(self.reason)
        return fetch(self.locator) if self.data is None else self.data


class Naming(NamedTuple):
    """How names are read.

    column: of tables, the one with the images' names. images: the folder or s3:// prefix that these
    are relative to, where not the table's own. spool: where tables and tars are put that have to be
    downloaded or unpacked. media: what is looked for, an image or a video.
    """

    column: str
    images: str | None
    spool: Path
    media: str = "image"

    def wants(self, name: str) -> bool:
        """Whether a name has the ending of what is looked for."""
        return NAMED[self.media](name)

    @property
    def other(self) -> str:
        """What a file of another kind is counted as."""
        return OTHER[self.media]

    def is_archive(self, name: str) -> bool:
        """Whether a name is that of a tar, which is not itself a video."""
        return is_archive(name) and not (self.media == "video" and self.wants(name))


def named_images(name: str, naming: Naming, left: Counter[str]) -> Iterator[NamedImage]:
    """All images of one name; `left` counts what is left alone, by kind.

    ValueError where there is nothing of that name. One image that cannot be used has a reason.
    """
    if not name.startswith("s3://") and Path(name).is_dir():
        yield from _folder(name, naming, left)
    elif is_pattern(name) and not os.path.lexists(name):
        yield from _pattern(name, naming, left)
    elif naming.is_archive(name):
        yield from _tar(name, naming, left)
    elif is_manifest(name):
        yield from _table(name, naming)
    elif name.startswith("s3://"):
        yield from _objects(name, naming, left)
    else:
        # a path that a list names may lead nowhere: that costs one row
        yield NamedImage(printable_text(name), name)


def _folder(folder: str, naming: Naming, left: Counter[str]) -> Iterator[NamedImage]:
    for inner in below(Path(folder), left, DEEP):
        path = os.path.join(folder, inner)  # noqa: PTH118 (as it was typed: Path takes away ./)
        if naming.is_archive(inner):
            yield from _tar(path, naming, left)
        elif naming.wants(inner) or _begins_so(path, naming.media):
            yield NamedImage(printable_text(path), path)
        else:
            left[naming.other] += 1


def _begins_so(path: str, media: str) -> bool:
    """Whether a file without an image's, or video's, ending is one by its first bytes."""
    try:
        # a FIFO would wait for ever
        if not Path(path).is_file():
            return False
        with open(path, "rb") as file:  # noqa: PTH123 (a thousand a second: no Path twice)
            if media == "video":
                return container_of(file.read(LOOK)) is not None
            return picture_ending(file.read(START)) is not None
    except OSError:
        return False


def _pattern(pattern: str, naming: Naming, left: Counter[str]) -> Iterator[NamedImage]:
    for name in expand_braces(pattern):
        remote = name.startswith("s3://")
        found = iter(matching_objects(name) if remote else local(name))
        first = next(found, None)
        if first is None:
            raise ValueError(f"there is nothing that {name} stands for; check the path")
        for each in (first, *found):
            yield from named_images(each, naming, left)


def _tar(name: str, naming: Naming, left: Counter[str]) -> Iterator[NamedImage]:
    for shard, path in tar_shards(name, naming.spool):
        # as it was typed, so that members of two tars of one name are told apart
        shown = name if len(PurePosixPath(shard).parts) == 1 else shard
        try:
            tar = plain_tar(path, naming.spool)
        except Refused as error:
            yield NamedImage(printable_text(shown), "", str(error))
            continue
        for member in members(tar):
            yield from _member(shown, tar, member, naming, left)


def _member(
    shown: str, tar: Path, member: Member, naming: Naming, left: Counter[str]
) -> Iterator[NamedImage]:
    foreign = member.name and not naming.wants(member.name)
    why = member.name and (nobodys(member.name) or (foreign and naming.other))
    if why:
        left[why] += 1
    else:
        locator = f"tar:{member.offset}+{member.size}:{tar}"
        name = f"{shown}:{member.name}" if member.name else shown
        yield NamedImage(printable_text(name), locator, member.reason)


def _objects(url: str, naming: Naming, left: Counter[str]) -> Iterator[NamedImage]:
    """One object, or all below a prefix."""
    if naming.wants(url):
        yield NamedImage(printable_text(url), url)
        return
    found = False
    for key in s3.keys(f"{url.rstrip('/')}/"):
        found = True
        if naming.is_archive(key):
            yield from _tar(key, naming, left)
        elif naming.wants(key):
            yield NamedImage(printable_text(key), key)
        elif not key.endswith("/"):
            left[naming.other] += 1
    if not found:
        raise ValueError(f"there is nothing below {url}; check the address")


def _table(url: str, naming: Naming) -> Iterator[NamedImage]:
    column = naming.column.strip().lower()
    base = naming.images or (url.rpartition("/")[0] or ".")
    places, file = images_of(base, url), None
    if url.startswith("s3://") and url.lower().endswith(".parquet"):
        file = downloaded_table(url, naming.spool, None)
    fix = f"name the column of images (--column), or save it as {', '.join(ENDINGS)}"
    for found in read_columns(url, file, Asked(((column,),), {column}), fix):
        yield _row(f"{url} {found.place}", found, column, places)


def _row(where: str, found: Found, column: str, places: Folder | Bucket) -> NamedImage:
    value = found.raw.get(column)
    data, name = embedded_image(value), named_cell(value)
    if found.reason:
        return NamedImage(printable_text(where), "", found.reason)
    if data is not None:
        too_large = f"file of {len(data):,} bytes, allowed are {MAX_BYTES:,}"
        return NamedImage(
            printable_text(where), "", too_large if len(data) > MAX_BYTES else "", data
        )
    if not name:
        return NamedImage(printable_text(where), "", "no image name")
    try:
        return NamedImage(printable_text(name), places.place(name)[1])
    except Refused as error:
        return NamedImage(printable_text(name), "", str(error))
