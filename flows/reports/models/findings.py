"""What the report of models tells, as plain data: read by flows/reports/models/reading.py."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from engine.measure.intervals import Interval, accuracy_interval
from flows.searching.trials import Trials

Record = dict[str, Any]


class Leader(NamedTuple):
    """A registered version that an alias points to; its model may be none of this run's.

    top1, low, high: percent on the test split, None where the version does not say.
    """

    version: str
    model: str
    top1: float | None = None
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
    """Mean loss of a training at some of its steps; two arrays (n,)."""

    step: np.ndarray
    loss: np.ndarray


@dataclass(frozen=True)
class Answers:
    """What every seed of one model answered to the test images of its target."""

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

    held_out: the splits that the set lacks, and that were made of a share of train.
    """

    classes: list[str]
    counts: dict[str, np.ndarray]  # split -> int64 (classes,)
    held_out: tuple[str, ...] = ()

    def of(self, split: str) -> np.ndarray:
        """Images of each class in a split."""
        return self.counts.get(split, np.zeros(len(self.classes), np.int64))


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Input of the report; what is not known stays empty."""

    records: list[Record]  # the first target's first, the best of a target first
    gains: list[Record]
    versions: dict[str, str]  # by model
    decision: str
    origin: dict[str, str]
    links: dict[str, str] = field(default_factory=dict)
    leaders: dict[str, Leader] = field(default_factory=dict)  # by alias
    answers: dict[str, Answers] = field(default_factory=dict)  # by target, of the model shown
    pictures: dict[str, bytes] = field(default_factory=dict)  # test images of the first target
    duplicates: dict[str, list[Duplicate]] = field(default_factory=dict)  # by target
    curves: dict[str, Curve] = field(default_factory=dict)  # by pretraining
    arms: dict[str, dict[str, Curve]] = field(default_factory=dict)  # by group of arms, then arm
    labels: dict[str, Labels] = field(default_factory=dict)  # by target
    trained: dict[str, int] = field(default_factory=dict)  # test images that train has too
    search: Trials | None = None
    settings: dict[str, Any] = field(default_factory=dict)  # sections of params.yaml

    @cached_property
    def targets(self) -> list[str]:
        """The labelled sets; the first decides."""
        return list(dict.fromkeys(record["target"] for record in self.records))

    def of(self, target: str) -> list[Record]:
        """The records of a target, the best first."""
        return [record for record in self.records if record["target"] == target]

    @property
    def first(self) -> list[Record]:
        """The records of the target that decides."""
        return self.of(self.targets[0])

    @cached_property
    def candidates(self) -> list[str]:
        """The candidates, each of its own colour; the one of the best model first."""
        return list(dict.fromkeys(record["candidate"] for record in self.records))

    def alias(self, record: Record) -> str:
        """`champion`, `challenger`, or nothing."""
        version = self.versions.get(record["model"])
        found = [alias for alias, leader in self.leaders.items() if leader.version == version]
        return found[0] if found else ""

    @cached_property
    def shown(self) -> Record:
        """The model that is looked into: the champion, or what `shown` has in its place."""
        return shown(self.first, [self.alias(record) for record in self.first])

    def gain_of(self, record: Record) -> Record | None:
        """The gain of pretraining of a model, where there is one without."""
        arm = itemgetter("candidate", "target", "mode", "labels", "size")
        return next((gain for gain in self.gains if arm(gain) == arm(record)), None)


def shown(records: Sequence[Record], aliases: Sequence[str]) -> Record:
    """Of one target: the champion, else the challenger, else the best on validation."""
    for wanted in ("champion", "challenger"):
        for record, alias in zip(records, aliases, strict=True):
            if alias == wanted:
                return record
    return max(records, key=lambda record: record["val_top1"])
