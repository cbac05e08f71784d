"""Images in tar shards as webdataset and img2dataset write them, with what is said of each.

An image is a place in a shard, read later. Which members make a sample says samples.py. Of one:
an image; .json with `hashtags` or `tags`, else the words after '#' of `caption`, `text` or `txt`,
and `id` (else `key`), `user`, `time`, `label`, `split`, or what another kind asks for; .txt, whose
words after '#' are hashtags, or all its words if it is a list of words with commas or lines
between, where .json has none; .cls, the label. Members of other endings are left alone and counted;
a sample without an image is refused.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from corpus.media.containers import LOOK
from corpus.records.cells import caption_tags, cell_tags, cell_text, word_list
from corpus.records.kind import kind as kind_named
from corpus.sources.members import Member, members
from corpus.sources.rows import SourceRow, described_row, refused_row
from corpus.sources.samples import Sample, TarSamples

CAPTIONS = ("caption", "text", "txt")
ENDINGS = (".tar", ".tar.gz", ".tgz")
MAX_TEXT = 16 << 20  # bytes of .json, .txt, .cls


class TarShard(NamedTuple):
    """A tar: where it is, its name in messages, that in ids; what is read, and a split if known."""

    path: Path
    name: str
    stem: str
    kind: str
    split: str | None


def is_archive(url: str | Path) -> bool:
    """Whether the name is one of tar shards: its ending, or a pattern."""
    return str(url).lower().endswith(ENDINGS)


def _hashtags(about: dict[str, Any], words: str | None) -> list[str]:
    captions = [about[name] for name in CAPTIONS if about.get(name)]
    found = cell_tags(about.get("hashtags")) or cell_tags(about.get("tags"))
    found = found or caption_tags(captions) or caption_tags([words])
    return found or ([] if captions else word_list(words))


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
        why = cell_text(about.get("error_message")) or "no message"
        raise ValueError(f"no image: img2dataset: {cell_text(status)}: {why}")
    return about


def _row(file: int, shard: TarShard, sample: Sample) -> SourceRow:
    where, image = f"{shard.name} {sample.stem}", sample.files.get("image")
    try:
        about = _about(file, sample.files.get("json"))
        if image is None:
            raise ValueError(_no_image(sample, kind_named(shard.kind).media))
        words, label = (_read(file, sample.files.get(ending)) for ending in ("txt", "cls"))
    except ValueError as error:
        return refused_row(where, str(error), image.name if image else "")
    own = f"{shard.stem}/{sample.stem.removeprefix('./')}"
    raw = about | {"id": cell_text(about.get("id")) or cell_text(about.get("key")) or own}
    raw["hashtags"] = _hashtags(about, words)
    raw["label"] = label if cell_text(about.get("label")) is None else about["label"]
    locator = f"tar:{image.offset}+{image.size}:{shard.path}"
    return described_row(where, locator, raw, shard.kind, image.name, shard.split)


def _no_image(sample: Sample, media: str) -> str:
    if sample.files and not (media == "video" and sample.others):
        return (
            f"no {media}: the members of one key must follow each other (pack with tar --sort=name)"
        )
    if not any(sample.others):
        return "a name without an ending"
    return f"no {media}: .{sample.others[0]} is no ending of one"


def _stem(name: str) -> str:
    """The name of a shard without its ending."""
    ending = next((end for end in ENDINGS if name.lower().endswith(end)), "")
    return name[: len(name) - len(ending)]


def shard_rows(
    shard: Path,
    name: str,
    kind: str,
    left: Counter[str],
    split: str | None = None,
) -> Iterator[SourceRow]:
    """The rows of one local tar, called `name` in messages and in the ids of those that have none.

    `left` counts what is left alone; `split` is that of images whose .json says none.
    """
    about = TarShard(shard.resolve(), name, _stem(name), kind, split)
    file = os.open(about.path, os.O_RDONLY)
    start = lambda member: os.pread(file, min(LOOK, member.size), member.offset)  # noqa: E731
    samples = TarSamples(start, left, kind_named(kind).media)
    try:
        for found in samples.of(members(about.path)):
            if isinstance(found, Member):
                yield refused_row(f"{name} {found.name}".strip(), found.reason, found.name)
            else:
                row = _row(file, about, found)
                # why this sample cannot be used was said with its member
                if not (row.reason and found.excused):
                    yield row
    finally:
        os.close(file)
