"""Section: what pretraining on hashtags adds, as a plot and in words."""

from corpus.pages.charts import COLOURS
from corpus.pages.markup import Markup, el, tag
from flows.reports.models import words
from flows.reports.models.bars import Row, dots, spanning
from flows.reports.models.findings import Findings, Record

RULE = "Points that pretraining adds, the same seeds and test images on both sides."
NOTE = "The thin line is the 95 % interval: where it crosses the upright line, 0, no gain shows."


def named(gain: Record, among: list[Record]) -> str:
    """What is compared, no longer than tells it from the others."""
    name = f"{gain['candidate']}, {words.mode(gain)}"
    name += f", {words.labels(gain['labels'])}" if words.several(among, "labels") else ""
    return name + (f", {gain['size']} px" if words.several(among, "size") else "")


def section(findings: Findings) -> list[Markup]:
    """The gains of the first target."""
    return of_target(findings, findings.targets[0])


def of_target(findings: Findings, target: str) -> list[Markup]:
    """A dot with interval for each candidate and mode, and the sentences."""
    gains = [gain for gain in findings.gains if gain["target"] == target]
    if not gains:
        return []
    rows = [_row(gain, gains, findings.candidates) for gain in gains]
    lines = [el("li", tag(words.gain_line(gain), 400)) for gain in gains]
    drawn = dots(rows, spanning(rows))
    more = el("details", el("summary", "In words"), el("ul", *lines))
    return [el("p", RULE), el("figure", drawn, el("figcaption", NOTE)), more]


def _row(gain: Record, gains: list[Record], candidates: list[str]) -> Row:
    low, high = gain["gain_low"], gain["gain_high"]
    told = f"{gain['gain']:+.1f} ({words.interval(low, high, '+')})"
    colour = f"c{candidates.index(gain['candidate']) % COLOURS}"
    return Row(tag(named(gain, gains), 80), gain["gain"], low, high, told, colour)
