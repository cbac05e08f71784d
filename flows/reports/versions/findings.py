"""What the page of versions tells, as plain data: read by flows/reports/versions/reading.py."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from flows.measuring.headline import Headline, of_tags
from flows.registry import older
from flows.registry.audit import Entry
from flows.registry.older import tag_number
from flows.reports.models.findings import Answers

OTHER = "a model of another tool"


class Values(NamedTuple):
    """The headline of every test sample, by every seed: ids (samples,), values (seeds, samples)."""

    ids: list[str]
    values: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What the registry keeps of a version for comparisons; what it does not stays empty."""

    about: dict[str, Any] = field(default_factory=dict)
    vocabulary: dict[str, int] = field(default_factory=dict)  # posts by hashtag
    answers: Answers | None = None
    values: Values | None = None
    own: int = 0  # the row of the answers that is of the registered weights
    pictures: dict[str, bytes] = field(default_factory=dict)  # of test images, by id

    def section(self, name: str) -> dict[str, Any]:
        """A part of about.json; empty where there is none, or something else."""
        found = self.about.get(name)
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True, kw_only=True)
class Version:
    """A version of a registered model, as far as it is known: other tools' say less."""

    number: str
    aliases: tuple[str, ...] = ()
    when: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)  # of the run that it comes from
    metrics: dict[str, float] = field(default_factory=dict)
    kept: Kept = field(default_factory=Kept)

    def tag(self, key: str) -> str:
        """A tag of tagdag's, or nothing."""
        return older.tag(self.tags, key)

    @property
    def model(self) -> str:
        return self.tag("model") or OTHER

    @property
    def title(self) -> str:
        """`version 3 (champion)`."""
        named = f" ({', '.join(self.aliases)})" if self.aliases else ""
        return f"version {self.number}{named}"

    @property
    def headline(self) -> Headline:
        """The number by which it is compared."""
        return of_tags(self.tags)

    @property
    def value(self) -> float | None:
        """Of the headline: the mean over its seeds, where it says."""
        return tag_number(self.tags, "value")

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """Of the interval of `value`."""
        return tag_number(self.tags, "low"), tag_number(self.tags, "high")

    @property
    def busy(self) -> bool:
        """Whether other work took the processors while its costs were measured."""
        return self.tag("busy") not in ("", "no")

    @property
    def tested_on(self) -> tuple[str, str]:
        """Task and digest of its test: numbers on the same can be compared."""
        return self.tag("task"), self.tag("test")

    def cost(self, key: str) -> float | None:
        """A cost by its name in the records of evaluate, out of its tags or its run."""
        found = tag_number(self.tags, "parameters" if key == "params" else key)
        if found is None:
            found = self.metrics.get(key, self.metrics.get(f"{key}_busy"))
        return found if found is not None and np.isfinite(found) else None


@dataclass(frozen=True, kw_only=True)
class Shared:
    """The test images that two versions both answered, in one order; classes by name."""

    ids: list[str]
    classes: list[str]
    labels: np.ndarray  # (images,) class index
    guesses: tuple[np.ndarray, np.ndarray]  # of all seeds, (seeds, images) each
    own: tuple[int, int]  # the rows of the registered weights

    def hits(self, side: int) -> np.ndarray:
        """bool (seeds, images)."""
        return self.guesses[side] == self.labels

    def registered(self, side: int) -> np.ndarray:
        """What the registered weights answered: class index (images,)."""
        return self.guesses[side][self.own[side]]


def shared(one: Kept, other: Kept) -> Shared | None:
    """What two versions answered to the same images; None where there are none."""
    first, second = one.answers, other.answers
    if first is None or second is None or first.classes != second.classes:
        return None
    place = {key: index for index, key in enumerate(second.ids)}
    kept = [index for index, key in enumerate(first.ids) if key in place]
    theirs = [place[first.ids[index]] for index in kept]
    same = first.labels[kept] == second.labels[theirs]  # else it was labelled anew in between
    ours, theirs = np.array(kept, int)[same], np.array(theirs, int)[same]
    if not len(ours):
        return None
    return Shared(
        ids=[first.ids[index] for index in ours],
        classes=first.classes,
        labels=first.labels[ours],
        guesses=(first.guesses[:, ours], second.guesses[:, theirs]),
        own=(one.own, other.own),
    )


def paired_values(one: Kept, other: Kept) -> tuple[np.ndarray, np.ndarray] | None:
    """The headline of the samples that two versions were both tested on, (seeds, samples) each.

    None where the registry keeps none, or the seeds cannot be paired.
    """
    first, second = one.values, other.values
    if first is None or second is None or len(first.values) != len(second.values):
        return None
    place = {key: index for index, key in enumerate(second.ids)}
    kept = [index for index, key in enumerate(first.ids) if key in place]
    theirs = [place[first.ids[index]] for index in kept]
    both = first.values[:, kept], second.values[:, theirs]
    known = ~np.isnan(both[0]).any(0) & ~np.isnan(both[1]).any(0)
    return (both[0][:, known], both[1][:, known]) if known.any() else None


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Input of the page of versions."""

    name: str
    address: str  # of the registry, without user and password
    versions: list[Version]  # the newest first
    pair: tuple[Version, Version] | None = None
    trail: Sequence[Entry] = ()
    champion: str = ""  # version of the alias, which need not be among `versions`
    left_out: int = 0  # older versions that are not shown
    faults: Sequence[str] = ()  # files of the registry that cannot be read
    git: Sequence[str] = ()  # git diff --stat between the pair's commits

    @cached_property
    def shared(self) -> Shared | None:
        """The test images that both of the pair answered."""
        return shared(self.pair[0].kept, self.pair[1].kept) if self.pair else None
