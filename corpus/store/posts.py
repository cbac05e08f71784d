"""The records of the data store: one posted image with its hashtags, or one labelled image of a
target set.
"""

import json
import re
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError


def _member(name: str) -> str:
    path = PurePosixPath(name)
    if (
        path.is_absolute()
        or ".." in path.parts
        or not path.parts
        or re.search(r"[\\\x00-\x1f]", name)
    ):
        raise ValueError("must be a relative name without '..', backslash or control character")
    if len(name.encode(errors="replace")) > 100:
        raise ValueError("must be at most 100 bytes, the limit of a USTAR header")
    return name


def _iso(time: str) -> str:
    datetime.fromisoformat(time)
    return time


class Record(BaseModel):
    """What posts and labelled images share; columns nobody declared are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    id: Annotated[str, Field(min_length=1)]
    image: Annotated[str, AfterValidator(_member)]


class Post(Record):
    """One posted image with the hashtags its user typed."""

    hashtags: list[str]
    user: str | None = None
    time: Annotated[str, AfterValidator(_iso)] | None = None


class Label(Record):
    """One labelled image of a target set."""

    label: Annotated[str, Field(min_length=1)]
    split: Literal["train", "val", "test"] = "train"


R = TypeVar("R", bound=Record)


def faults(error: ValidationError) -> str:
    """What pydantic found wrong, in one line."""
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())


def json_line(record: dict) -> str:
    """One line of a JSONL file, the same for equal records."""
    return json.dumps(record, sort_keys=True, ensure_ascii=False) + "\n"
