"""Tables as lines of text, CSV and JSONL: one broken line costs that row alone.

A quote that is never closed would swallow the lines after it: a CSV record of several lines counts
only if it is well-formed, else its first line is refused and reading goes on with the second. Every
line is looked at twice at most.
"""

import csv
import gzip
import json
import zlib
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from typing import Any, BinaryIO, NamedTuple

from corpus.records.kind import Needed

MAX_LINE = 16 << 20  # bytes; a post of 10,000 hashtags has 0.2 MB
MAX_LINES = 1000  # of one CSV record
PATIENCE = 100  # JSON lines without what is needed before the whole file is called wrong


class Asked(NamedTuple):
    """The columns of a table that are asked for, their names in lower case."""

    needed: Needed
    wanted: Collection[str]
    others: bool = False  # whether all others are read too, under their names as typed

    def called(self, names: Iterable[str]) -> list[str]:
        """What columns of these names are called here."""
        typed = [name.strip() for name in names]
        if not self.others:
            return [name.lower() for name in typed]
        return [name.lower() if name.lower() in self.wanted else name for name in typed]


class Line(NamedTuple):
    """A line of text, or why it is none."""

    number: int
    text: str
    reason: str = ""


class Found(NamedTuple):
    """A row as the table has it, or why it cannot be read."""

    place: str  # "line 17"
    raw: dict[str, Any]
    reason: str = ""


class Lines:
    """The lines of a file, in constant memory, that can be put back.

    A .gz cut off ends with one that says so.
    """

    def __init__(self, file: BinaryIO):
        self.lines, self.waiting = _lines(file), deque()

    def __iter__(self) -> Iterator[Line]:
        return self

    def __next__(self) -> Line:
        return self.waiting.popleft() if self.waiting else next(self.lines)

    def back(self, lines: list[Line]) -> None:
        self.waiting.extendleft(reversed(lines))


def _lines(file: BinaryIO) -> Iterator[Line]:
    number = 0
    while True:
        number += 1
        try:
            data = last = file.readline(MAX_LINE)
            while len(last) == MAX_LINE and not last.endswith(b"\n"):
                last = file.readline(MAX_LINE)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            yield Line(
                number, "", f"the file is cut off or damaged here ({error}), what follows is lost"
            )
            return
        if not data:
            return
        yield (
            _line(number, data)
            if last is data
            else Line(number, "", f"longer than {MAX_LINE >> 20} MB")
        )


def _line(number: int, data: bytes) -> Line:
    try:
        line = Line(number, data.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        return Line(number, "", f"not UTF-8 (byte {error.start + 1} of the line)")
    return Line(number, "", "holds a NUL byte") if "\0" in line.text else line


def check_columns(names: list[str], needed: Needed) -> None:
    """ValueError where a column lacks, or stands there twice."""
    lacking = [either[0] for either in needed if not {*either} & {*names}]
    if lacking:
        found = ", ".join(sorted(names)) or "none"
        raise ValueError(f"lacks column {', '.join(lacking)} (found: {found})")
    twice = [name for either in needed for name in either if names.count(name) > 1]
    if twice:
        raise ValueError(f"has column {', '.join(twice)} twice")


# CSV


def _cells(lines: list[Line], delimiter: str, strict: bool) -> list[str]:
    """The cells of one record; csv.Error says why it is none."""
    if lines[-1].reason:
        raise csv.Error(lines[-1].reason)
    records = list(csv.reader([line.text for line in lines], delimiter=delimiter, strict=strict))
    if len(records) != 1:
        raise csv.Error("several records")
    return records[0]


def _joined(first: Line, lines: Lines) -> list[Line]:
    """The line, with those after it while a quote is open."""
    joined, quotes, size = [first], first.text.count('"'), len(first.text)
    while quotes % 2 and len(joined) < MAX_LINES and size < MAX_LINE and not joined[-1].reason:
        line = next(lines, None)
        if line is None:
            break
        joined.append(line)
        quotes, size = quotes + line.text.count('"'), size + len(line.text)
    return joined


def _record(line: Line, lines: Lines, delimiter: str, count: int) -> list[str]:
    """The `count` cells of the record that begins with a line.

    Csv.Error says why there are none.
    """
    joined = _joined(line, lines)
    if len(joined) > 1:
        try:
            cells = _cells(joined, delimiter, strict=True)
            if len(cells) == count:
                return cells
        except csv.Error:
            pass
        lines.back(joined[1:])
    cells = _cells([line], delimiter, strict=line.text.count('"') % 2 == 1)
    if len(cells) != count:
        raise csv.Error(f"{len(cells)} cells where the header has {count}")
    return cells


def csv_rows(lines: Lines, asked: Asked) -> Iterator[Found]:
    """Rows of a table with comma, semicolon or tab; ValueError if its header is wrong."""
    csv.field_size_limit(MAX_LINE)
    header = next(lines, Line(1, ""))
    delimiter = max(",;\t", key=header.text.count)
    try:
        cells = _cells([header], delimiter, strict=False) if header != Line(1, "") else []
    except csv.Error as error:
        raise ValueError(
            f"has a header that cannot be read ({error}); save it as UTF-8 text"
        ) from None
    names = asked.called(cells)
    check_columns(names, asked.needed)
    for line in lines:
        if line.reason or line.text.strip():
            place = f"line {line.number}"
            try:
                cells = _record(line, lines, delimiter, len(names))
                yield Found(place, dict(zip(names, cells, strict=True)))
            except csv.Error as error:
                reason = "a quote is never closed" if "unexpected end" in str(error) else str(error)
                yield Found(place, {}, reason)


# JSON


def _object(line: Line, asked: Asked) -> Found:
    place, reason, row = f"line {line.number}", line.reason, {}
    if not reason:
        try:
            row = json.loads(line.text)
        # a number of 5,000 digits is a ValueError too
        except (ValueError, RecursionError) as error:
            reason = f"no JSON ({error})"
    if not isinstance(row, dict):
        row, reason = {}, "no JSON object"
    return Found(place, dict(zip(asked.called(row), row.values(), strict=True)), reason)


def _enough(row: dict[str, Any], needed: Needed) -> bool:
    return all({*either} & {*row} for either in needed)


def json_rows(lines: Lines, asked: Asked) -> Iterator[Found]:
    """One object a line; ValueError if none of the first has what is needed."""
    poor, first = 0, None
    for line in lines:
        if line.reason or line.text.strip():
            found = _object(line, asked)
            yield found
            if poor is not None and not found.reason and _enough(found.raw, asked.needed):
                poor = None
            if poor is not None:
                first, poor = first or found, poor + 1
                if poor == PATIENCE:
                    break
    if poor:
        if first.reason:
            raise ValueError(
                f"has no line with a JSON object; the first, {first.place}: {first.reason}"
            )
        check_columns(list(first.raw), asked.needed)
