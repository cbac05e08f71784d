"""What a metric shows people beside its numbers: data of a plot, which metrics/cli draws."""

from collections.abc import Sequence
from typing import NamedTuple


class Series(NamedTuple):
    """A line: its name, which is a class where it is a number, and y of each x."""

    name: str | int
    x: Sequence[float]
    y: Sequence[float]


class Lines(NamedTuple):
    """Curves over one axis, as precision over recall; x and y: what the axes are called."""

    title: str
    x: str
    y: str
    series: Sequence[Series]


class Bars(NamedTuple):
    """A number for each label, from above to below; a label that is a number is that class."""

    title: str
    x: str
    labels: Sequence[str | int]
    values: Sequence[float]


class Matrix(NamedTuple):
    """Shares of rows, 0 to 100, as of a confusion; labels as those of Bars, of rows and columns."""

    title: str
    x: str
    y: str
    labels: Sequence[str | int]
    cells: Sequence[Sequence[float]]


Picture = Lines | Bars | Matrix
