"""Posts and labels in tar shards as webdataset and img2dataset write them; an image is a place in a shard, read later.

Consecutive members of one key make one row; the key is the name up to the first dot of its last part. Of a key: an
image (.jpg, .png, ...); .json with `hashtags` or `tags`, else the words after '#' of `caption`, `text` or `txt`, and
`id` (else `key`), `user`, `time`, `label`, `split`; .txt, whose words after '#' are hashtags, or all its words where
neither it nor .json has any; .cls, the label. Other endings are left alone.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from corpus.hashtags.normal import marked
from corpus.sources.members import Member, members
from corpus.sources.rows import Row, checked, described, refused, tags, text

IMAGES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff")
CAPTIONS = ("caption", "text", "txt")
KEY = re.compile(r"((?:.*/|)[^./]+)\.([^/]*)", re.DOTALL)
META = re.compile(r"__[^/]*__")  # webdataset's notes to itself
MAX_TEXT = 16 << 20  # bytes of .json, .txt, .cls


class Group(NamedTuple):
    """The members of one key by ending (any image: "image")."""

    key: str
    files: dict[str, Member]
    told: bool  # whether a member of it was refused already


def groups(shard: Path) -> Iterator[Group | Member]:
    """Members of a shard by key; those that cannot be used each by itself, with a reason."""
    group = Group("", {}, True)
    for member in members(shard):
        match = KEY.fullmatch(member.name)
        if META.fullmatch(member.name) and not member.reason:
            continue
        if match and match[1] != group.key:
            yield group
            group = Group(match[1], {}, False)
        ending = match[2].lower() if match else ""
        ending = "image" if ending in IMAGES else ending
        reason = member.reason or ("" if match else "a name without a key or an ending")
        if not reason and ending in group.files:
            reason = f"a second .{match[2]} of its key" if ending != "image" else "a second image of its key"
        if reason:
            yield member._replace(reason=reason)
            group = group._replace(told=group.told or bool(match) or not member.name)  # damage is part of a post
        elif ending in ("image", "json", "txt", "cls"):
            group.files[ending] = member
    yield group


def _marked(texts: Iterable[Any]) -> list[str]:
    """The words after '#', those of links left out."""
    return [tag for text in texts if isinstance(text, str) for tag in marked(text)]


def _hashtags(about: dict[str, Any], words: str | None) -> list[str]:
    captions = [about[name] for name in CAPTIONS if about.get(name)]
    found = tags(about.get("hashtags")) or tags(about.get("tags")) or _marked(captions) or _marked([words])
    return found or ([] if captions else tags(words))


def _read(file: int, member: Member | None) -> str | None:
    """The text of a small member; ValueError if it is none."""
    if member is None:
        return None
    if member.size > MAX_TEXT:
        raise ValueError(f"{member.name} of {member.size:,} bytes, allowed are {MAX_TEXT:,}")
    try:
        return os.pread(file, member.size, member.offset).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{member.name} is not UTF-8") from None


def _about(file: int, member: Member | None) -> dict[str, Any]:
    """What .json says; ValueError if it cannot be used, or says that there is no image."""
    told = _read(file, member)
    try:
        about = {} if told is None else json.loads(told)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{member.name} is no JSON ({error})") from None
    if not isinstance(about, dict):
        raise ValueError(f"{member.name} is no JSON object")
    status = about.get("status", "success")
    if status != "success":
        raise ValueError(f"img2dataset: {text(status)}: {text(about.get('error_message')) or 'no message'}")
    return about


def _row(file: int, shard: Path, name: str, group: Group, kind: str) -> Row:
    where, image = f"{name} {group.key}", group.files.get("image")
    try:
        about = _about(file, group.files.get("json"))
        if image is None:
            raise ValueError("no image")
        words, label = (_read(file, group.files.get(ending)) for ending in ("txt", "cls"))
    except ValueError as error:
        return refused(where, str(error), image.name if image else "")
    key = f"{name.split('.')[0]}/{group.key.removeprefix('./')}"
    raw = about | {"id": text(about.get("id")) or text(about.get("key")) or key, "hashtags": _hashtags(about, words)}
    raw["label"] = label if text(about.get("label")) is None else about["label"]
    locator = f"tar:{image.offset}+{image.size}:{shard}"
    return checked(where, locator, described(raw, kind, image.name))


def shard_rows(shard: Path, name: str, kind: str) -> Iterator[Row]:
    """The rows of one local tar, called `name` in messages and in the ids of those that have none."""
    shard = shard.resolve()
    file = os.open(shard, os.O_RDONLY)
    try:
        for found in groups(shard):
            if isinstance(found, Member):
                yield refused(f"{name} {found.name}".strip(), found.reason, found.name)
            elif found.files:
                row = _row(file, shard, name, found, kind)
                if not (row.reason and found.told):  # why this post cannot be used was said with its member
                    yield row
    finally:
        os.close(file)
