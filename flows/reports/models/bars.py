"""Rows of a name, a dot or bar with its interval, a number: HTML, in full size on a phone too."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from corpus.pages.markup import Markup, el

ROOM = 0.04  # of the width, beyond the furthest interval


class Row(NamedTuple):
    """A value with its interval, all in one unit; `words` are what is written beside it."""

    name: Any
    value: float
    low: float
    high: float
    words: Any
    kind: str = ""  # of the style sheet: c0 to c4, soft


class Range(NamedTuple):
    """The values that the left and the right end of a track stand for."""

    low: float
    high: float

    def at(self, value: float) -> str:
        """A place on the track, in percent of its width."""
        share = (value - self.low) / (self.high - self.low)
        return f"{100 * min(max(share, 0.0), 1.0):.2f}%"


def spanning(rows: Sequence[Row]) -> Range:
    """A range that holds all intervals, and zero."""
    ends = [0.0, *(row.low for row in rows), *(row.high for row in rows)]
    room = ROOM * (max(ends) - min(ends)) or 1.0
    return Range(min(ends) - room, max(ends) + room)


def _interval(row: Row, over: Range) -> Markup:
    left, right = over.at(row.low), over.at(row.high)
    width = f"calc({right} - {left})"
    return el("i", class_="span", style=f"left:{left};width:{width}")


def dots(rows: Sequence[Row], over: Range) -> Markup:
    """A dot with its interval for each row, and a line at zero."""
    zero = el("i", class_="zero", style=f"left:{over.at(0)}")
    parts = []
    for row in rows:
        dot = el("i", class_=f"dot {row.kind}".strip(), style=f"left:{over.at(row.value)}")
        parts.append(_row(row, zero, _interval(row, over), dot))
    return el("div", *parts, class_="rows")


def bars(rows: Sequence[Row], over: Range) -> Markup:
    """A bar from the left end with its interval for each row."""
    parts = []
    for row in rows:
        bar = el("i", class_=f"fill {row.kind}".strip(), style=f"width:{over.at(row.value)}")
        parts.append(_row(row, bar, _interval(row, over)))
    return el("div", *parts, class_="rows")


def _row(row: Row, *drawn: Markup) -> Markup:
    track = el("div", *drawn, class_="track", aria_hidden="true")
    return el("div", el("span", row.name), track, el("span", row.words, class_="n"), class_="row")
