"""data.dvc: what it names, whether data/ is that, how it is taken back after damage.

`dvc repro` brings data.dvc up to whatever data/ holds (also one that is `frozen`), damage too, and
the next `dvc checkout` would then bring the damage back. So the text that was found good is kept.
"""

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from flows.running import dvc_private

DATA, POINTER = Path("data"), Path("data.dvc")
BACK = f"take the committed one back (git checkout {POINTER})"


def md5() -> str | None:
    """What data.dvc names; None where there is none. ValueError if it is damaged."""
    try:
        text = POINTER.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{POINTER} cannot be read ({error}): {BACK}") from None
    try:
        [out] = yaml.safe_load(text)["outs"]
        return str(out["md5"])
    except (yaml.YAMLError, LookupError, TypeError, ValueError):
        what = "empty" if not text.strip() else "no list of one output with its md5"
        raise ValueError(
            f"{POINTER} is damaged, it is {what}: {BACK}, or import your data again"
        ) from None


def pointer_text() -> str:
    """The text of data.dvc, empty where there is none."""
    return POINTER.read_text(encoding="utf-8") if POINTER.exists() else ""


@contextmanager
def open_output() -> Iterator[tuple[Any, Any]]:
    """DVC's repository and its output data/; None for that without data.dvc."""
    with dvc_private.repository() as repo:
        yield repo, dvc_private.output_of(repo, POINTER)


def differing(named: dict[str, str]) -> tuple[list[str], list[str]]:
    """Files of data/ that are others than `named` (file to MD5), or are not named.

    And those that lack.
    """
    there = {path.relative_to(DATA).as_posix(): path for path in DATA.rglob("*") if path.is_file()}
    # what an import has under way is none of the data (.dvcignore)
    there = {
        name: path for name, path in there.items() if not name.startswith(".") and "/." not in name
    }
    others = [name for name, path in there.items() if named.get(name) != _md5(path)]
    return sorted(others), sorted(named.keys() - there.keys())


def put_back(bad: list[Path], good: str) -> str:
    """Undoes what DVC wrote where data.dvc names a damaged file; says so, or nothing.

    `good`: the text of data.dvc when data/ was last found sound; without it that of the last
    commit.
    """
    before = good or _committed()
    if not before or before == pointer_text() or md5() is None:
        return ""
    # only where data.dvc names the damaged bytes: else it is still right, and `dvc checkout` mends
    # data/
    with open_output() as (_, out):
        named = dvc_private.listing(out) or {}
    if not any(
        path.is_file() and named.get(path.relative_to(DATA).as_posix()) == _md5(path)
        for path in bad
    ):
        return ""
    part = POINTER.with_suffix(".part")
    part.write_text(before, encoding="utf-8")
    part.replace(POINTER)
    return f"; DVC had brought {POINTER} up to the damage, it is as before again"


def mend_pointer() -> None:
    """Puts aside what a kill has left half written: data.dvc, and DVC's list of readers.

    Both are written anew.
    """
    try:
        md5()
    except ValueError:
        aside = POINTER.replace(f"{POINTER}.damaged")
        print(
            f"{POINTER} was half written, and is now {aside}: it is written anew", file=sys.stderr
        )
    readers = Path(".dvc/tmp/rwlock")
    if not _json(readers):
        time.sleep(0.5)  # a process that writes it at this moment has ended by then
        if not _json(readers):
            readers.unlink()


def _json(path: Path) -> bool:
    """Whether there is no such file, or one that can be read."""
    try:
        json.loads(path.read_text(encoding="utf-8") if path.exists() else "{}")
    except ValueError:
        return False
    return True


def _committed() -> str:
    # ./: the project may be a folder of a larger repository
    done = subprocess.run(
        ["git", "show", f"HEAD:./{POINTER}"], capture_output=True, text=True, check=False
    )
    return done.stdout if done.returncode == 0 else ""


def _md5(path: Path) -> str:
    # MD5, by which DVC names files
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
