"""What formats of files share: text and JSON read with one message where they are broken, and which
samples of two files belong together.
"""

import json
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Any

from metrics.blocks.refusing import some


def read_text(file: Path) -> str:
    """A file's text, UTF-8. ValueError where it is none."""
    if file.is_dir():
        raise ValueError(f"{file} is a folder: give a file")
    whole = file.read_bytes()
    try:
        return whole.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = whole.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{file}, line {line}: no UTF-8 (byte {whole[error.start]:#04x}): save it as UTF-8"
        ) from None


def read_json(file: Path) -> Any:
    """What a JSON file holds. ValueError where it is cut off, or has a key twice or a NaN."""
    text = read_text(file)
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{file} is no whole JSON: {error.msg} in line {error.lineno}, column {error.colno} of "
            f"{len(text)} characters: is it cut off?"
        ) from None
    except RecursionError:
        raise ValueError(f"{file} is nested too deep to be such a file") from None
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = repeated(key for key, _ in pairs)
        raise ValueError(f"{some(twice)} stands more than once in one object: keep one of them")
    return found


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number: measure another network, or leave out such answers")


def repeated(keys: Iterable[Hashable]) -> list:
    """Those that are there more than once."""
    return [key for key, count in Counter(keys).items() if count > 1]


def known_only(given: Collection[str], true: Collection[str], common: bool, told: str) -> None:
    """ValueError where some of `given` are not among `true`, unless these are to be left out.

    told: what they are, and of which file, as "videos of results.json are not in truth.json".
    """
    there = set(true)
    alone = [key for key in given if key not in there]
    if alone and not common:
        raise ValueError(
            f"{len(alone)} of {len(given)} {told} ({some(alone)}): give files that belong "
            "together, or --common to leave them out"
        )


def number(value: Any) -> float:
    """A finite number. ValueError where it is none."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{value!r} is no number") from None
    if found != found or found in (float("inf"), float("-inf")):
        raise ValueError(f"{value!r} is no finite number")
    return found


def part(table: Any, key: str, kind: type, where: str) -> Any:
    """table[key] of this kind. ValueError that tells where it is missing."""
    if not isinstance(table, dict) or not isinstance(table.get(key), kind):
        there = some(table) if isinstance(table, dict) else type(table).__name__
        raise ValueError(f"{where} has no {key}, which is to be a {kind.__name__}: it has {there}")
    return table[key]
