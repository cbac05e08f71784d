"""What a metric's number is called, how it is written, and which of two is better.

A record of the stage evaluate says it of itself (`headline`, `higher`, `unit`), a version of the
registry by its tags. Those that were made before there was more than one metric say nothing: they
are top-1 accuracies in percent.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

# headline -> (what it is called in tables, what it is called in sentences)
WORDS = {
    "top1": ("top-1", "accuracy"),
    "top5": ("top-5", "top-5 accuracy"),
    "map": ("mAP", "mAP"),
    "f1": ("F1", "F1"),
    "per_class": ("per-class", "mean accuracy of the classes"),
    "ap": ("AP", "average precision"),
    "voc_ap": ("VOC AP", "average precision"),
    "pq": ("PQ", "panoptic quality"),
    "miou": ("mIoU", "mean IoU"),
}


class Headline(NamedTuple):
    """The number by which models of a task are compared; `unit` may be empty."""

    name: str = "top1"
    higher: bool = True
    unit: str = "%"

    @property
    def title(self) -> str:
        """In tables and axes: `top-1`."""
        return WORDS.get(self.name, (self.name.replace("_", " "),))[0]

    @property
    def noun(self) -> str:
        """In sentences: `accuracy`."""
        return WORDS.get(self.name, ("", self.title))[1]

    @property
    def unit_title(self) -> str:
        """With its unit: `top-1 %`."""
        return f"{self.title} {self.unit}".strip()

    @property
    def axis(self) -> str:
        """With its unit, on a plot: `top-1 (%)`."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def points(self) -> str:
        """The unit of a difference; empty where the number has none."""
        return "points" if self.unit == "%" else self.unit

    def number(self, value: float, sign: str = "") -> str:
        """Without its unit: `60.2`; three significant digits where it is no percentage."""
        return format(value, f"{sign}.1f" if self.unit == "%" else f"{sign}.3g")

    def written(self, value: float) -> str:
        """With its unit: `60.2 %`."""
        return f"{self.number(value)} {self.unit}".strip()

    def difference(self, value: float, sign: str = "+") -> str:
        """A difference with its unit: `+3.1 points`."""
        return f"{self.number(value, sign)} {self.points}".strip()

    def interval(self, low: float | None, high: float | None, sign: str = "") -> str:
        """The ends of an interval: `53.1 to 57.0`."""
        if low is None or high is None:
            return "no interval"
        return f"{self.number(low, sign)} to {self.number(high, sign)}"

    def told(self, value: float, low: float | None, high: float | None) -> str:
        """`55.0 (53.1 to 57.0)`, without its unit."""
        return f"{self.number(value)} ({self.interval(low, high)})"

    def better(self, one: float, other: float) -> bool:
        """Whether a number is better than another; equal ones are not."""
        return one > other if self.higher else one < other

    def merit(self, value: float) -> float:
        """What is larger for the better of two numbers."""
        return value if self.higher else -value

    def best(self, values: Iterable[float]) -> float:
        """The best of some numbers."""
        return max(values, key=self.merit)

    def worse_end(self, low: float | None, high: float | None) -> float | None:
        """The end of an interval that is to lie beyond another's number: low where higher wins."""
        return low if self.higher else high


def of_record(record: Mapping[str, Any]) -> Headline:
    """The headline of a record of the stage evaluate, or of a gain."""
    return Headline(*(record.get(key, usual) for key, usual in zip(KEYS, USUAL, strict=True)))


def of_tags(tags: Mapping[str, str]) -> Headline:
    """The headline of a version of the registry, by its tags."""
    name = tags.get("tagdag.headline")
    if name is None:
        return USUAL
    return Headline(name, tags.get("tagdag.higher") != "False", tags.get("tagdag.unit", ""))


KEYS, USUAL = ("headline", "higher", "unit"), Headline()
