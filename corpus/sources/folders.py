"""What a source is: a table, part files of one, tar shards, or images by class."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from corpus.sources import s3
from corpus.sources.entries import folders, is_folder, nobodys
from corpus.sources.formats import named_image
from corpus.sources.manifests import ENDINGS, is_manifest
from corpus.sources.patterns import expand_braces, fixed_part, is_pattern
from corpus.sources.tars import is_archive

DEEPEST = 4  # folders below the root in which part files are looked for
PEEK = 1000  # objects below an s3:// prefix that are looked at to tell what it holds
ENOUGH, SOME = 20_000, 1000  # entries looked at to tell what a folder is; of a folder in it
_ABOUT = "md rst txt json yaml yml toml py html license gitattributes lock crc"
ABOUT = frozenset(_ABOUT.split())
PLAIN = """folder {} holds images, but no folder of images per class: name a table of them
(columns image and hashtags, or image and label) with `--images {}`, sort them into a folder per
class, or pack images with their .json or .txt into a tar (tar --sort=name)"""
COCO = re.compile(r"(^|/)_?annotations([^/]*|/[^/]*)\.json$", re.IGNORECASE)
NO_COCO = """annotations of COCO are of objects: import them with `--kind boxes` (or panoptic); for
labels write a table with the columns image and label, and give `--images`""".replace("\n", " ")
UNPACK, EXPORT = "unpack it, or pack its files into a tar", "save it as CSV or Parquet"
FIXES = dict.fromkeys(("zip", "7z", "rar", "xz", "bz2", "zst"), UNPACK)
FIXES |= dict.fromkeys(("xlsx", "xls", "ods", "arrow", "feather", "xml", "db", "sqlite"), EXPORT)
BOTH = "folder {} holds {} {} beside images: name that, or move it away to have classes"


def below(root: Path, left: Counter[str], depth: int = DEEPEST) -> Iterator[str]:
    """Paths below the root of the files in it, by name; links to folders are not followed.

    `left` counts what is left alone. ValueError for a folder that cannot be read.
    """
    try:
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError as error:
        raise ValueError(f"folder {root} cannot be read ({error.strerror})") from None
    for entry in entries:
        why = nobodys(entry.name)
        if why:
            left[why] += 1
        elif not is_folder(entry) or is_archive(entry.name):
            yield entry.name
        elif depth and not entry.is_symlink():
            yield from (f"{entry.name}/{name}" for name in below(Path(entry.path), left, depth - 1))


def _looked_at(root: Path, depth: int, most: int) -> Iterator[str]:
    """Paths of files below the root, at most so many of a folder; those of the root come first."""
    within = []
    try:
        with os.scandir(root) as found:
            for entry in islice(found, most):
                if nobodys(entry.name):
                    continue
                if not is_folder(entry) or is_archive(entry.name):
                    yield entry.name
                elif not entry.is_symlink():
                    within.append(entry.name)
    except OSError:  # told by who reads it
        return
    for name in sorted(within) if depth else ():
        yield from (f"{name}/{path}" for path in _looked_at(root / name, depth - 1, SOME))


def _kind(name: str) -> str:
    if is_archive(name):
        return "shard"
    if is_manifest(name):
        return "table"
    last = name.rpartition("/")[2].lower()
    ending = last.rpartition(".")[2]
    return "" if ending in ABOUT or (last.startswith("_") and "." not in last) else "image"


def contents(root: Path) -> str:
    """What a folder holds: "shards", "tables", or "classes"; ValueError where that is not clear."""
    first: dict[str, str] = {}
    within = [entry.is_symlink() for entry in folders(root)]
    deep, seen = any(within), 0  # a linked folder is one of a class
    for name in islice(_looked_at(root, DEEPEST, ENOUGH), ENOUGH):
        seen += 1
        if COCO.search(name):
            raise ValueError(f"folder {root} holds {name}: {NO_COCO}")
        first.setdefault(_kind(name), name)
        deep = deep or (_kind(name) == "image" and "/" in name)
    if "/" not in first.get("shard", "/"):
        return "shards"
    for kind in ("table", "shard"):
        if kind in first:
            if "image" in first or deep:
                raise ValueError(BOTH.format(root, "the", f"{kind} {first[kind]}"))
            return f"{kind}s"
    loose = "image" in first and not deep and not (within and seen == ENOUGH)
    if loose and named_image(first["image"]):
        raise ValueError(PLAIN.replace("\n", " ").format(root, root))
    if loose or not within:
        endings = " ".join(ENDINGS)
        raise ValueError(f"folder {root} holds no table ({endings}), no .tar and no image")
    return "classes"


def source_layout(source: str, options: bool = False) -> str:
    """What a source is: "table", "tables", "shards" or "classes"; ValueError if it is none.

    `options`: whether it is said to be a folder of images by class.
    """
    if Path(source).is_dir():
        return "classes" if options else contents(Path(source))
    if is_manifest(source):
        pattern = is_pattern(source) and not os.path.lexists(source)
        return "tables" if pattern else "table"
    if is_archive(next(expand_braces(source))):
        return "shards"
    if source.startswith("s3://"):
        return _prefix(source)
    if source.lower().endswith(".json"):
        fix = f"write a row a line (.jsonl). If it is COCO's, {NO_COCO}"
        raise ValueError(f"{source} is JSON as a whole: {fix}")
    endings, ending = " ".join(ENDINGS), source.rpartition(".")[2].lower()
    message = f"{source} is no source: name a table ({endings}), .tar shards or a folder of them"
    fix = FIXES.get(ending)
    raise ValueError(f"{message}; {fix}" if fix else message)


def _prefix(url: str) -> str:
    """What lies below an s3:// prefix: shards if there is one, else tables."""
    fixed = fixed_part(url)
    found = list(islice(s3.keys(fixed if fixed != url else f"{url.rstrip('/')}/"), PEEK))
    shards = any(map(is_archive, found)) or fixed != url
    return "tables" if not shards and any(map(is_manifest, found)) else "shards"
