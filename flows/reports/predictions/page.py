"""The page of two files of predictions: the difference, per class, and samples that differ most."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from corpus.pages.markup import Markup, el, flow_style, table, tag
from corpus.pages.page import Section, sectioned
from flows.measuring.headline import Headline
from flows.measuring.intervals import Ends
from flows.reports.predictions.differing import KEYS, Differing, Row
from flows.reports.predictions.drawn import drawn_sample
from flows.reports.predictions.finding import image_files
from metrics.formats.pair import Pair

CLASSES = 40  # rows of the table: those that differ most


@dataclass(frozen=True)
class Comparison:
    """Two sets of predictions of the same samples. gain: what the second is better by, and its
    interval; details: rows of both, of the same class.
    """

    metric: dict[str, Any]
    headline: Headline
    names: list[str]
    numbers: list[dict[str, float]]
    gain: Ends
    details: list[tuple[Row, Row]]
    differing: list[Differing]

    def as_dict(self) -> dict[str, Any]:
        """For a JSON file."""
        gain = dict(zip(("gain", "low", "high"), self.gain, strict=True))
        differing = [each._asdict() for each in self.differing]
        return asdict(self) | {"headline": self.headline._asdict(), **gain, "differing": differing}

    def lines(self) -> list[str]:
        """What is printed."""
        one = self.headline
        told = [f"{one.title} of {self.numbers[0]['samples']:,} samples, {flow_style(self.metric)}"]
        for name, found in zip(self.names, self.numbers, strict=True):
            ends = (found.get(f"{one.name}_{end}") for end in ("low", "high"))
            told.append(f"  {name}: {one.told(found[one.name], *ends)} {one.unit}".rstrip())
        return [*told, self.verdict()]

    def verdict(self) -> str:
        """Which is better, or that it is not told."""
        gain, low, high = self.gain
        one, (first, second) = self.headline, self.names
        told = f"{second} is better by {one.difference(gain)}"
        if low is None:
            return f"{told}, without an interval"
        told += f", 95 % interval {one.interval(low, high, '+')}, paired by sample"
        if low > 0:
            return told
        if high < 0:
            return f"{told}: {first} is the better one"
        return f"{told}: which is better is not told"


def page(
    found: Comparison, pairs: Sequence[Pair], images: Path | None = None, truth: Path | None = None
) -> str:
    """The HTML document. images: folder to draw the answers on; truth: may say their files."""
    one, (first, second) = found.headline, found.names
    summary = {
        f"{name} {one.unit_title}": one.number(numbers[one.name])
        for name, numbers in zip(found.names, found.numbers, strict=True)
    }
    summary["samples"] = found.numbers[0]["samples"]
    sections = [
        Section("Numbers", [_numbers(found)]),
        Section("By class", _details(found, pairs[0].names)),
        Section("Samples that differ most", _samples(found, pairs, images, truth)),
    ]
    intro = [el("p", found.verdict()), el("p", flow_style(found.metric), class_="soft")]
    title = f"{first} and {second}"
    return sectioned(title, title, summary, sections, intro=intro)


def _numbers(found: Comparison) -> Markup:
    rows = []
    for key, value in found.numbers[0].items():
        other = found.numbers[1].get(key)
        if other is not None and not key.endswith(("_low", "_high")):
            rows.append([key, _number(value), _number(other), _number(other - value, "+")])
    return table(["", *map(tag, found.names), "difference"], rows, numeric=(1, 2, 3))


def _number(value: float, sign: str = "") -> str:
    return format(value, f"{sign}.2f" if isinstance(value, float) else f"{sign},d")


def _details(found: Comparison, names: Sequence[str]) -> list[Markup]:
    """A row per class, those first that differ most in the headline, or the last of its numbers."""
    if not found.details:
        return []
    row = found.details[0][0]
    keys = [key for key in KEYS if key in row]
    values = [key for key in row if key not in KEYS]
    known = dict(enumerate(names))
    by = found.headline.name if found.headline.name in values else values[-1]
    most = sorted(found.details, key=lambda pair: -abs(pair[1][by] - pair[0][by]))
    head = [*keys, *(f"{key}, {which}" for key in values for which in ("A", "B"))]
    rows = []
    for pair in most[:CLASSES]:
        numbers = [_number(each[key]) for key in values for each in pair]
        rows.append([*(tag(str(known.get(pair[0][key], pair[0][key]))) for key in keys), *numbers])
    said = f"A: {found.names[0]}, B: {found.names[1]}; {len(most)} rows in all"
    if len(most) > CLASSES:
        said += f", the {CLASSES} that differ most"
    numeric = range(len(keys), len(head))
    return [el("p", said, class_="soft"), table(head, rows, numeric=numeric)]


def _samples(
    found: Comparison, pairs: Sequence[Pair], images: Path | None, truth: Path | None
) -> list[Markup]:
    one, parts = found.headline, []
    if not found.differing:
        return [el("p", "No sample's own number differs.", class_="soft")]
    files = image_files(images, truth, [each.sample for each in found.differing])
    for each in found.differing:
        said = f"{found.names[0]} {one.number(each.first)}, {found.names[1]} "
        said += f"{one.number(each.second)} {one.unit}".rstrip()
        parts.append(el("h3", tag(each.sample, 80)))
        parts.append(el("p", said))
        answers = (pair.predictions for pair in pairs)
        shown = [("truth", pairs[0].targets), *zip(found.names, answers, strict=True)]
        parts.append(drawn_sample(shown, each.row, pairs[0].names, files.get(each.sample)))
    return parts
