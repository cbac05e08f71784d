"""Section: what pretraining adds, as a plot and in words."""

from corpus.pages.charts import COLOURS
from corpus.pages.markup import Markup, el, tag
from flows.measuring.headline import of_record
from flows.measuring.summary import pretraining_name
from flows.reports.models import words
from flows.reports.models.bars import Row, dots, spanning
from flows.reports.models.findings import Findings, Record

RULE = "{} that pretraining adds, the same seeds and test samples on both sides."
NOTE = "The thin line is the 95 % interval: where it crosses the upright line, 0, no gain shows."


def named(gain: Record, among: list[Record]) -> str:
    """What is compared, no longer than tells it from the others."""
    name = f"{gain['candidate']}, {words.head(gain)}"
    if len({pretraining_name(each) for each in among}) > 1:
        name = f"{gain['candidate']}, {words.init(gain)}, {words.head(gain)}"
    name += f", {words.labels(gain['labels'])}" if words.several(among, "labels") else ""
    return name + (f", {gain['size']} px" if words.several(among, "size") else "")


def section(findings: Findings) -> list[Markup]:
    """The gains of the first task."""
    return of_task(findings, findings.tasks[0])


def of_task(findings: Findings, task: str) -> list[Markup]:
    """A dot with interval for each candidate, pretraining and head, and the sentences."""
    gains = [gain for gain in findings.gains if gain["task"] == task]
    if not gains:
        return []
    rows = [_row(gain, gains, findings.candidates) for gain in gains]
    lines = [el("li", tag(words.gain_line(gain), 400)) for gain in gains]
    drawn = dots(rows, spanning(rows))
    more = el("details", el("summary", "In words"), el("ul", *lines))
    points = of_record(gains[0]).points or of_record(gains[0]).title
    rule = RULE.format(points[:1].upper() + points[1:])
    return [el("p", rule), el("figure", drawn, el("figcaption", NOTE)), more]


def _row(gain: Record, gains: list[Record], candidates: list[str]) -> Row:
    headline, mean = of_record(gain), gain["gain"]
    low, high = gain["gain_low"], gain["gain_high"]
    told = f"{headline.number(mean, '+')} ({headline.interval(low, high, '+')})"
    colour = f"c{candidates.index(gain['candidate']) % COLOURS}"
    # without an interval it is a dot alone
    ends = (mean, mean) if low is None or high is None else (low, high)
    return Row(tag(named(gain, gains), 80), mean, *ends, told, colour)
