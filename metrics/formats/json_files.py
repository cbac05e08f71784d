"""JSON files of annotations: read whole, and what is wrong in them counted in one message."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

SHOWN = 5


def read_json(file: Path) -> Any:
    """What a JSON file holds; ValueError where it is none, or is cut short."""
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {error.strerror}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(
            f"{file} is no JSON, or only a part of it: {error}; download or write it again"
        ) from None


def refuse(file: Path, wrong: Sequence[Any], of: int, what: str, fix: str) -> None:
    """ValueError that counts what is wrong of so many, with the first few; none where none is.

    what: as "annotations have an id that another one has".
    """
    if wrong:
        each = list(dict.fromkeys(wrong))
        listed = ", ".join(map(str, each[:SHOWN])) + ", ..." * (len(each) > SHOWN)
        raise ValueError(f"{file}: {len(wrong)} of {of} {what} ({listed}); {fix}")


def twice(values: Iterable[Any]) -> list[Any]:
    """Those that occur more than once."""
    return [value for value, count in Counter(values).items() if count > 1]
