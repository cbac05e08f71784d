"""The absolute paths of artifacts in MLflow's SQLite file, after its folder moved.

The file says in a tag of the experiment in which folder it is. When it finds itself in another one,
every place below the old folder is written anew, in one transaction.
"""

from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from flows.running import sqlite
from flows.tracking.mlflow_private import PLACES

TAG = "tagdag.folder"
LOCKED = 20.0  # seconds to wait for another writer, as MLflow itself does


def _noted(file: Path) -> str | None:
    """The folder that the file says it is in; None where nothing says so."""
    query = "SELECT value FROM experiment_tags WHERE key = ? LIMIT 1"
    found = sqlite.query_rows(file, query, TAG, wait=LOCKED)
    return found[0][0] if found else None


def _guessed(file: Path, experiment: str) -> str | None:
    """The same of a file without the note, from where its experiment has its artifacts."""
    query = "SELECT artifact_location FROM experiments WHERE name = ?"
    found = sqlite.query_rows(file, query, experiment, wait=LOCKED)
    place = Path(found[0][0].removeprefix("file://")) if found and found[0][0] else Path()
    here = file.parent / "mlruns" / place.name
    if not place.is_absolute() or place.parent.name != "mlruns":
        return None
    old = place.parent.parent
    # where they are neither here nor gone there they may be elsewhere on purpose
    return str(old) if here.is_dir() or not old.exists() else None


def _prefixes(old: str, new: str) -> list[tuple[str, str]]:
    """Beginnings of places, as plain paths and as URLs."""
    urls = [f"file://{quote(folder)}" for folder in (old, new)]
    return [(f"{old}/", f"{new}/"), (f"{urls[0]}/", f"{urls[1]}/")]


def _rewrite(file: Path, old: str, new: str) -> int:
    """Write the places below `old` anew; returns how many."""
    count = 0
    with closing(sqlite.connect_file(file, LOCKED)) as base, base:
        # locked from the beginning: a reader that becomes a writer beside another writer fails at
        # once
        base.execute("BEGIN IMMEDIATE")
        for table, column in PLACES:
            for before, after in _prefixes(old, new):
                # `LIKE` would take a _ or % in a folder's name for any letters
                beginning = f"substr({column}, 1, ?) = ?"
                changed = base.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {beginning}",
                    (after, len(before) + 1, len(before), before),
                )
                count += changed.rowcount
        base.execute("UPDATE experiment_tags SET value = ? WHERE key = ?", (new, TAG))
        base.execute("COMMIT")
    return count


def move_places(file: Path, experiment: str) -> str | None:
    """Have the places follow the file into its present folder; a message where they had to.

    sqlite3.OperationalError while the file is locked.
    """
    new = str(file.resolve().parent)
    old = _noted(file) or _guessed(file, experiment)
    if old in (None, new):
        return None
    # moved without the folder beside it: the places are still right
    if (Path(old) / "mlruns").is_dir() and not (Path(new) / "mlruns").is_dir():
        return None
    # MLflow has no command that moves artifacts
    count = _rewrite(file, old, new)
    return f"{file.name} has moved from {old}: {count} places of artifacts now lead to {new}"
