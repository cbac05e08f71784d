"""Section: every network and pretraining on every task, in the headline of the task.

No number over tasks is made of them: their units are others, and so is what they are worth.
"""

import csv
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from corpus.names import printable
from corpus.pages.markup import Markup, el, table, tag
from flows.measuring.headline import of_record
from flows.measuring.summary import SCRATCH, arm_of, pretraining_name
from flows.reports.models import words
from flows.reports.models.outcome import Outcome

Record = dict[str, Any]
FILE = "matrix.csv"
HEAD = (
    *("candidate", "pretraining", "task", "labels", "size", "model", "headline", "unit"),
    *("value", "low", "high", "gain", "gain_low", "gain_high", "seeds"),
)
NOTE = (
    "A cell is the model of the best head by validation: its number with the 95 % interval, and "
    "what pretraining gave over the same head from scratch, positive where it is better. No score "
    "over tasks is made of them."
)


class Column(NamedTuple):
    """A task; number of labels and pixels, where there are several."""

    task: str
    labels: Any
    size: int


class Cell(NamedTuple):
    """The model of a candidate and a pretraining on a task, and its gain over scratch."""

    record: Record
    gain: Record | None


Row = tuple[str, str]  # candidate, pretraining without the candidate's name


def _key(record: Record) -> Column:
    return Column(record["task"], record["labels"], record["size"])


def columns(records: Iterable[Record]) -> list[Column]:
    """The columns, in the order of the tasks."""
    return list(dict.fromkeys(map(_key, records)))


def cells(records: Sequence[Record], gains: Iterable[Record]) -> dict[Row, dict[Column, Cell]]:
    """The cells by row and column; rows in the order of their names, from scratch the first."""
    gain_of = {arm_of(gain): gain for gain in gains}
    best: dict[tuple[Row, Column], Record] = {}
    for record in records:
        place = (record["candidate"], pretraining_name(record)), _key(record)
        merit = of_record(record).merit
        known = best.get(place)
        if known is None or merit(record["val"]) > merit(known["val"]):
            best[place] = record
    found: dict[Row, dict[Column, Cell]] = {}
    for row, column in sorted(best, key=lambda place: (place[0][0], place[0][1] != SCRATCH)):
        record = best[row, column]
        found.setdefault(row, {})[column] = Cell(record, gain_of.get(arm_of(record)))
    return found


def _more(column: Column, records: Sequence[Record]) -> list[str]:
    """The labels and the pixels of a column, where its task has several."""
    its = [record for record in records if record["task"] == column.task]
    told = {"labels": words.labels(column.labels), "size": f"{column.size} px"}
    return [text for key, text in told.items() if words.several(its, key)]


def title(column: Column, records: Sequence[Record]) -> str:
    """`scenes, top-1 %`; with labels and pixels where the task has several."""
    headline = next(of_record(each) for each in records if each["task"] == column.task)
    return ", ".join([column.task, headline.unit_title, *_more(column, records)])


def written(cell: Cell | None) -> str:
    """`75.1 (73.1 to 77.0), +11.7 (7.9 to 15.4)`; empty where there is no such model."""
    if cell is None:
        return ""
    record, headline = cell.record, of_record(cell.record)
    told = headline.told(record["value"], record["low"], record["high"])
    if cell.gain is None:
        return told
    gain = cell.gain
    ends = headline.interval(gain["gain_low"], gain["gain_high"], "+")
    return f"{told}; gain {headline.number(gain['gain'], '+')} ({ends})"


def rows(records: Sequence[Record], gains: Iterable[Record]) -> tuple[list[str], list[list[str]]]:
    """(titles, cells) as plain text."""
    shown, found = columns(records), cells(records, gains)
    head = ["candidate", "pretraining", *(title(each, records) for each in shown)]
    made = []
    for (candidate, init), its in found.items():
        made.append([candidate, init, *(written(its.get(each)) for each in shown)])
    return head, made


def section(findings: Any) -> list[Markup]:
    """The matrix as HTML."""
    head, made = rows(findings.records, findings.gains)
    shown = [list(map(partial(tag, length=120), row)) for row in made]
    return [table([tag(each, 80) for each in head], shown), el("p", NOTE, class_="soft")]


def _all(outcomes: Sequence[Outcome]) -> tuple[list[Record], list[Record]]:
    records = [record for of in outcomes for record in of.records]
    return records, [gain for of in outcomes for gain in of.gains]


def numbers(outcomes: Sequence[Outcome]) -> dict[str, float]:
    """The cells as metrics: matrix/<task>/<candidate>/<pretraining>/<headline>, and its gain.

    Labels and pixels stand before the headline where the task has several.
    """
    records, gains = _all(outcomes)
    found = {}
    for (candidate, init), its in cells(records, gains).items():
        for column, cell in its.items():
            parts = ["matrix", column.task, candidate, init, *_more(column, records)]
            place = "/".join(parts)
            found[f"{place}/{cell.record['headline']}"] = cell.record["value"]
            if cell.gain is not None:
                found[f"{place}/gain"] = cell.gain["gain"]
    return found


def _plain(value: Any) -> Any:
    """What any program may show: names are people's text."""
    return printable(value) if isinstance(value, str) else value


def write(file: Path, records: Sequence[Record], gains: Iterable[Record]) -> None:
    """Write the cells as a table, one a row."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, HEAD, lineterminator="\n")
        writer.writeheader()
        for (_, init), its in cells(records, gains).items():
            for cell in its.values():
                gain = cell.gain or {}
                told = {key: gain.get(key) for key in ("gain", "gain_low", "gain_high")}
                seeds = {"pretraining": init, "seeds": len(cell.record["seeds"])}
                row = cell.record | told | seeds
                writer.writerow({key: _plain(row.get(key)) for key in HEAD})
