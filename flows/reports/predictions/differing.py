"""What differs between two files of predictions: samples, and rows of details."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

# what a row of a metric's details is of; the others of its values are numbers
KEYS = ("class", "predicted", "size", "threshold", "kind", "group", "distance", "sample")
Row = Mapping[str, Any]


class Differing(NamedTuple):
    """A sample, its place in the files, and what either number is of it alone."""

    row: int
    sample: str
    first: float
    second: float


def rows_of(details: Sequence[Sequence[Row]]) -> list[tuple[Row, Row]]:
    """The rows of both metrics' details that are of the same class, in the order of the first."""
    others = {_key(row): row for row in details[1]}
    return [(row, others[_key(row)]) for row in details[0] if _key(row) in others]


def _key(row: Row) -> tuple:
    return tuple((key, row[key]) for key in KEYS if key in row)
