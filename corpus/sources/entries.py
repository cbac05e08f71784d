"""What stands in a folder: what nobody means to post, and which entries are folders."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

SYSTEM = frozenset(("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx"))
_SYSTEM = re.compile("|".join(map(re.escape, sorted(SYSTEM))), re.IGNORECASE)


def nobodys(name: str) -> str | None:
    """What a file is that a system or program left; None for files that people put there.

    `name` is relative to the source, with '/'.
    """
    if not name.startswith(".") and "/." not in name and not _SYSTEM.search(name):
        return None  # nearly all
    parts = [part for part in name.split("/") if part not in ("", ".", "..")]
    if any(part.lower() in SYSTEM for part in parts):
        return "file of the system (Thumbs.db, desktop.ini, __MACOSX)"
    return "hidden file" if any(part.startswith(".") for part in parts) else None


def is_folder(entry: os.DirEntry) -> bool:
    """Whether an entry is a folder or leads to one; a link in a circle does not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def folders(root: Path) -> Iterator[os.DirEntry]:
    """The folders in a folder that are not left alone; none where it cannot be read."""
    try:
        with os.scandir(root) as found:
            entries = [entry for entry in found if is_folder(entry)]
    except OSError:
        return
    yield from (entry for entry in entries if not nobodys(entry.name))
