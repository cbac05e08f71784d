"""What the report of models tells, as plain data: read by flows/reports/models/reading.py."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from engine.measure.intervals import Interval, accuracy_interval
from flows.measuring.headline import USUAL, Headline, of_record
from flows.measuring.summary import arm_of
from flows.searching.trials import Trials

Record = dict[str, Any]


class Leader(NamedTuple):
    """A registered version that an alias points to; its model may be none of this run's.

    value, low, high: of the headline on the test split, None where the version does not say.
    """

    version: str
    model: str
    headline: Headline = USUAL
    value: float | None = None
    low: float | None = None
    high: float | None = None


class Duplicate(NamedTuple):
    """A test image and the post that repeats it, by ids; encoded images, or None."""

    id: str
    post: str
    how: str
    image: bytes | None
    twin: bytes | None


class Curve(NamedTuple):
    """Mean loss of a training, or another number, at some of its steps; two arrays (n,)."""

    step: np.ndarray
    loss: np.ndarray


@dataclass(frozen=True)
class Answers:
    """What every seed of one model answered to the test images of its task, each of one class."""

    model: str
    classes: list[str]
    ids: list[str]  # (images,)
    labels: np.ndarray  # (images,) class index
    guesses: np.ndarray  # (seeds, images) class index
    scores: np.ndarray  # (seeds, images) from 0 to 1, of the guess

    @cached_property
    def hits(self) -> np.ndarray:
        """bool (seeds, images)."""
        return self.guesses == self.labels

    @cached_property
    def counts(self) -> np.ndarray:
        """int64 (classes,): test images of each class."""
        return np.bincount(self.labels, minlength=len(self.classes))

    def of_class(self, index: int) -> Interval:
        """Accuracy of a class in percent, with its interval over seeds and test images."""
        return accuracy_interval(self.hits[:, self.labels == index])

    @cached_property
    def confusion(self) -> np.ndarray:
        """int64 (classes, classes): answers by true class and guess, of all seeds together."""
        classes, seeds = len(self.classes), len(self.guesses)
        flat = np.tile(self.labels, seeds) * classes + self.guesses.ravel()
        return np.bincount(flat, minlength=classes**2).reshape(classes, classes)


@dataclass(frozen=True)
class Labels:
    """Images per class of a labelled set, by split.

    held_out: the splits that the set lacks, and that were made of a share of train. several:
    whether an image may have several classes.
    """

    classes: list[str]
    counts: dict[str, np.ndarray]  # split -> int64 (classes,)
    held_out: tuple[str, ...] = ()
    several: bool = False

    def of(self, split: str) -> np.ndarray:
        """Images of each class in a split."""
        return self.counts.get(split, np.zeros(len(self.classes), np.int64))


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Input of the report; what is not known stays empty."""

    records: list[Record]  # the first task's first, the best of a task first
    gains: list[Record]
    versions: dict[str, str]  # by model
    decisions: dict[str, str]  # by task
    origin: dict[str, str]
    names: dict[str, str] = field(default_factory=dict)  # of registered models, by task
    links: dict[str, str] = field(default_factory=dict)
    leaders: dict[str, dict[str, Leader]] = field(default_factory=dict)  # by task, then alias
    answers: dict[str, Answers] = field(default_factory=dict)  # by task, of the model shown
    pictures: dict[str, bytes] = field(default_factory=dict)  # test images of the first task
    duplicates: dict[str, list[Duplicate]] = field(default_factory=dict)  # by task
    curves: dict[str, Curve] = field(default_factory=dict)  # by pretraining
    neighbours: dict[str, Curve] = field(default_factory=dict)  # likewise, accuracy in percent
    arms: dict[str, dict[str, Curve]] = field(default_factory=dict)  # by group of arms, then arm
    labels: dict[str, Labels] = field(default_factory=dict)  # by task
    trained: dict[str, int] = field(default_factory=dict)  # test images that train has too
    # by task, what flows/measuring/details.py has, and test images by id that it shows
    details: dict[str, dict[str, Any]] = field(default_factory=dict)
    scene_pictures: dict[str, dict[str, bytes]] = field(default_factory=dict)
    search: Trials | None = None
    settings: dict[str, Any] = field(default_factory=dict)  # sections of params.yaml

    @cached_property
    def tasks(self) -> list[str]:
        """The tasks; the first is looked into."""
        return list(dict.fromkeys(record["task"] for record in self.records))

    def of(self, task: str) -> list[Record]:
        """The records of a task, the best first."""
        return [record for record in self.records if record["task"] == task]

    def headline(self, task: str) -> Headline:
        """The number by which a task's models are compared."""
        return of_record(self.of(task)[0])

    @property
    def first(self) -> list[Record]:
        """The records of the task that is looked into."""
        return self.of(self.tasks[0])

    @cached_property
    def candidates(self) -> list[str]:
        """The candidates, each of its own colour; the one of the best model first."""
        return list(dict.fromkeys(record["candidate"] for record in self.records))

    def alias(self, record: Record) -> str:
        """`champion`, `challenger`, or nothing."""
        version = self.versions.get(record["model"])
        leaders = self.leaders.get(record["task"], {})
        found = [alias for alias, leader in leaders.items() if leader.version == version]
        return found[0] if found else ""

    @cached_property
    def shown(self) -> Record:
        """The model that is looked into: the champion, or what `shown` has in its place."""
        return shown(self.first, [self.alias(record) for record in self.first])

    def gain_of(self, record: Record) -> Record | None:
        """The gain of pretraining of a model, where there is one without."""
        arm = arm_of(record)
        return next((gain for gain in self.gains if arm_of(gain) == arm), None)


def shown(records: Sequence[Record], aliases: Sequence[str]) -> Record:
    """Of one task: the champion, else the challenger, else the best on validation."""
    for wanted in ("champion", "challenger"):
        for record, alias in zip(records, aliases, strict=True):
            if alias == wanted:
                return record
    return max(records, key=lambda record: of_record(record).merit(record["val"]))
