"""Large JSON files of annotations: read whole, and what is wrong in them counted in one message."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metrics.blocks.refusing import some
from metrics.formats.files import read_text


def read_large(file: Path) -> Any:
    """What a JSON file holds, NaN included, of keys that stand twice the last; ValueError where it
    is none, or is cut short.

    As fast as Python reads JSON; `read_json` of files.py looks closer.
    """
    try:
        return json.loads(read_text(file))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(
            f"{file} is no JSON, or only a part of it: {error}; download or write it again"
        ) from None


def refuse(file: Path, wrong: Sequence[Any], of: int, what: str, fix: str) -> None:
    """ValueError that counts what is wrong of so many, with the first few; none where none is.

    what: as "annotations have an id that another one has".
    """
    if wrong:
        listed = some(dict.fromkeys(wrong))
        raise ValueError(f"{file}: {len(wrong)} of {of} {what} ({listed}); {fix}")
