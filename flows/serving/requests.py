"""What a request to a served model may be: checked before MLflow's own reader sees any of it.

What passes is written anew in the one form that is needed, so that of four input formats, of CSV
and of Parquet nothing reaches code that was not written for strangers.
"""

import json
import re
from typing import Any

from flows.serving.inputs import COLUMN, VIDEO, decoded

MOST_BYTES = 32 << 20  # of a request; base64 makes 3 bytes 4
MOST_IMAGES = 64
DEPTH = 6  # {"dataframe_split": {"data": [["..."]]}} has 4
MOST_FRAME = 100_000  # bytes of a request that are no text: arrays of numbers are no images here
TEXT = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)
COLUMNS = (COLUMN, VIDEO)  # which of them a model sees it knows itself
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")


class Refused(ValueError):
    """A request that is not answered. `status`: of HTTP."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def checked(body: bytes, content_type: str) -> bytes:
    """The request in MLflow's form `inputs`; Refused says what is wrong with it."""
    kind, _, parameter = (part.strip().lower() for part in content_type.partition(";"))
    if kind != "application/json" or parameter not in ("", "charset=utf-8"):
        raise Refused(415, "send Content-Type: application/json, in UTF-8")
    asked = _json(body)
    images = _images(asked)
    if not 0 < len(images) <= MOST_IMAGES:
        raise Refused(400, f"found {len(images)} images, allowed are 1 to {MOST_IMAGES}")
    for place, text in enumerate(images):
        _is_base64(place, text)
    return json.dumps({"inputs": images, **_params(asked)}).encode()


def _json(body: bytes) -> dict[str, Any]:
    """The object of a body that is neither deep nor full of numbers."""
    frame = TEXT.sub(b"", body)
    if len(frame) > MOST_FRAME:
        raise Refused(400, "too much that is no text: send images as base64, not as numbers")
    if _depth(frame) > DEPTH:
        raise Refused(400, f"JSON nested deeper than {DEPTH}")
    try:
        found = json.loads(body, parse_constant=_constant)
    # ValueError: no JSON, no UTF-8, a number of thousands of digits, NaN
    except (ValueError, RecursionError):
        raise Refused(400, "the body is not valid JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise Refused(400, "the body is no JSON object")
    return found


def _constant(name: str) -> None:
    raise ValueError(name)


def _depth(frame: bytes) -> int:
    depth = deepest = 0
    for letter in frame:
        if letter in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif letter in b"]}":
            depth -= 1
    return deepest


def _images(asked: dict[str, Any]) -> list[Any]:
    """The images of any of MLflow's four forms."""
    unknown = sorted(asked.keys() - {*FORMS, "params"})
    forms = [name for name in FORMS if name in asked]
    if unknown or len(forms) != 1:
        raise Refused(400, f"give one of {', '.join(FORMS)}, and params if you like, nothing else")
    given = asked[forms[0]]
    if forms[0] == "dataframe_split":
        return _split(given)
    if isinstance(given, dict):
        given = _only(given)
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list):
        raise Refused(400, f"{forms[0]}: give a list of images in base64")
    return [_cell(row) for row in given]


def _split(given: Any) -> list[Any]:
    known = {"columns", "data", "index"}
    if not isinstance(given, dict) or not given.keys() <= known:
        raise Refused(400, "dataframe_split: give columns and data")
    known = [[column] for column in COLUMNS]
    if given.get("columns") not in known or not isinstance(given.get("data"), list):
        raise Refused(400, f"dataframe_split: columns are [{COLUMN!r}], data is a list of rows")
    return [_cell(row) for row in given["data"]]


def _cell(row: Any) -> Any:
    """The image of a row, which may be it, or a list or an object of nothing else."""
    if isinstance(row, list) and len(row) == 1:
        return row[0]
    own = _only(row) if isinstance(row, dict) else None
    return row if own is None else own


def _only(given: dict[str, Any]) -> Any:
    """What stands under the one name that images or videos have; None where it is another."""
    return next((given[name] for name in COLUMNS if list(given) == [name]), None)


def _is_base64(place: int, text: Any) -> None:
    if not isinstance(text, str):
        raise Refused(400, f"image {place}: found {type(text).__name__}, expected base64")
    try:
        decoded(text)
    except ValueError as error:
        raise Refused(400, f"image {place}: {error}") from None


def _params(asked: dict[str, Any]) -> dict[str, Any]:
    """{"params": {"top": n}} where it is asked for."""
    params = asked.get("params")
    if params is None:
        return {}
    whole = isinstance(params, dict) and set(params) <= {"top"}
    top = params.get("top", 1) if whole else None
    # bool is an int
    if type(top) is not int or not 0 < top < 1_000_000:
        raise Refused(400, "params: top, a whole number from 1 on, is all that may be given")
    return {"params": params}
