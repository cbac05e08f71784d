"""Which of the project's files cannot be read: errors of JSON and YAML name a line, but no file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flows.running.os_errors import stage_of

LARGEST = 64 << 20  # bytes; no file of ours that is read whole has as many
SETTINGS = ("params.yaml", "dvc.yaml", "data.dvc", ".dvc/config", "dvc.lock")
PLACES = (
    "out/*/*.json",
    "out/*/*/*.json",
    "out/*/*.jsonl",
    "out/*/*.yaml",
    ".tagdag/*.json",
    "data/*/store.json",
)
PLACES += ("data/targets/*/store.json",)


def _yaml(text: str) -> Any:
    import yaml

    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def _lines(text: str) -> Any:
    return [json.loads(line) for line in text.splitlines() if line.strip()]


READERS = {".json": json.loads, ".jsonl": _lines, ".yaml": _yaml, ".dvc": _yaml, ".lock": _yaml}


def fault_of(file: Path) -> str | None:
    """What is wrong with a file; None where it is sound, too large to look at or not there."""
    import yaml

    try:
        if not file.is_file() or file.stat().st_size > LARGEST:
            return None
        # a file of another kind only has to be UTF-8
        READERS.get(file.suffix, str)(file.read_bytes().decode("utf-8"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        return f"is not UTF-8 (line {line}, byte 0x{byte:02x}): save it as UTF-8"
    except json.JSONDecodeError as error:
        return f"is damaged (JSON, line {error.lineno}: {error.msg})"
    except yaml.YAMLError as error:
        # the error of a character that YAML does not allow has no mark
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        return f"is not YAML{where}: {getattr(error, 'problem', None) or error}"
    except OSError:
        return None
    return None


def project_files() -> Iterator[Path]:
    """Files of the project that are read whole, those that people edit first."""
    yield from map(Path, SETTINGS)
    for pattern in PLACES:
        yield from sorted(Path().glob(pattern))


def cure_of(file: Path) -> str:
    """What to do for a damaged file of the project."""
    stage = stage_of(file.as_posix())
    if stage:
        return f"run its stage again (dvc repro --force --single-item {stage})"
    if file.name in ("params.yaml", "dvc.yaml", "data.dvc", "config"):
        return f"mend it, or take the committed one back (git checkout {file})"
    if file.name == "dvc.lock":
        return "move it away: DVC's cache brings back what it recorded"
    if file.parts[0] == ".tagdag":
        return "delete it, and it is made anew"
    return "`make data` brings the files back that data.dvc names"


def first_damaged() -> str | None:
    """Which file of the project cannot be read, why, and what to do; None where all can."""
    for file in project_files():
        found = fault_of(file)
        if found:
            fix = "" if "save it" in found else f": {cure_of(file)}"
            return f"{file} {found}{fix}"
    return None
