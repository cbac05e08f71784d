"""What a source of annotated objects says of its classes: their ids, supercategories, keypoints.

It lies beside the shards of a set, as categories.json, for an export: records have the names alone.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corpus.records.kind import BaseKind
from corpus.records.spelling import spelled
from corpus.store.classes import NAMED, classes_of, quoted
from corpus.store.read import REPAIR, shards_of

CATEGORIES = "categories.json"


def read_categories(folder: Path) -> list[dict[str, Any]]:
    """The classes of a store as its sources have them; none where they said nothing."""
    path = folder / CATEGORIES
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise ValueError(f"{path} is damaged; {REPAIR}")
    return found


def unused_note(folder: Path, kind: BaseKind) -> list[str]:
    """A line on the classes that the sources of a store name and none of its objects has, if any.

    They are no classes of the set: nothing could be learnt of them, nor tested.
    """
    names = {spelled(str(one.get("name"))) for one in read_categories(folder)}
    if not names:
        return []
    known = classes_of([(folder, shard) for shard in shards_of(folder)], kind).counts
    lacking = sorted(names - known.keys())
    if not lacking:
        return []
    shown = ", ".join(map(quoted, lacking[:NAMED])) + ", ..." * (len(lacking) > NAMED)
    return [f"{len(lacking):,} of {len(names):,} classes of the source have no object: {shown}"]


def note_categories(folder: Path, found: Sequence[dict[str, Any]], replaced: bool) -> None:
    """Adds classes to those of a store, or puts them in their place; in one step."""
    there = [] if replaced else read_categories(folder)
    more = [one for one in found if one not in there]
    path = folder / CATEGORIES
    if replaced and not more:
        path.unlink(missing_ok=True)
    if not more:
        return
    part = folder / f".{CATEGORIES}.part"
    text = json.dumps([*there, *more], indent=1, ensure_ascii=False)
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)
