"""What the records of all kinds of data sets share: an image under an id, checked by pydantic."""

import json
import re
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


Split = Literal["train", "val", "test"]  # what an image of a target set is for


class Record(BaseModel):
    """An image under an id; columns nobody declared are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    id: Annotated[str, Field(min_length=1)]
    image: Annotated[str, AfterValidator(_member)]


R = TypeVar("R", bound=Record)


def faults(error: ValidationError) -> str:
    """What pydantic found wrong, in one line."""
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())


def json_line(record: dict) -> str:
    """One line of a JSONL file, the same for equal records."""
    return json.dumps(record, sort_keys=True, ensure_ascii=False) + "\n"
