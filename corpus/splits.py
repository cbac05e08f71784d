"""The splits of a labelled set: as its source has them; what it lacks is held out of its train.

Evaluation needs images that no training has seen (test), and the choice of an epoch or of a setting
others again (val). Most sets come without a val split, as CIFAR-10 does, some without a test split.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from corpus.sources.rows import number_of

# of the train images where the source has no such split: an import, which has no section corpus to
# ask, tells these; they are the defaults of flows/corpus.py
SHARES = {"val": 0.15, "test": 0.2}
USES = {"val": "validation", "test": "test"}


class HeldOut:
    """Decides, image after image in the store's order, which ones leave train for the split `name`.

    An image does where its id's hash says so (a share of them all), and as the second of one of its
    classes where the first did not: so each class of two or more has one. Later images change
    nothing of that for earlier ones, and an import adds its images behind those that are there: no
    image of test is ever trained on. Shares of classes are as even as chance has it; an iterative
    stratification (Sechidis et al. 2011), which evens them out, would move images with each import.
    """

    def __init__(self, name: str, share: float, classes: int):
        self.name, self.share = name, share
        self._seen = np.zeros(classes, np.int64)
        self._taken = np.zeros(classes, bool)

    def takes(self, key: str, labels: Sequence[int]) -> bool:
        """Whether the next image, with this id and these classes, leaves train."""
        taken = number_of(f"{self.name}:{key}") < self.share * 2**64
        for label in labels:
            self._seen[label] += 1
            taken |= bool(self._seen[label] == 2 and not self._taken[label])
        for label in labels:
            self._taken[label] |= taken
        return taken


def lacking_splits(had: set[str], shares: dict[str, float]) -> list[str]:
    """The splits that are held out of train of a set that has these, in the order of the rules."""
    if "train" not in had:
        return []
    return [name for name in ("test", "val") if name not in had and shares[name]]


def held_into(rules: Sequence[HeldOut], key: str, labels: Sequence[int]) -> str:
    """Where the next image of train goes: the first rule that takes it, or train again.

    The rules after that one are not asked.
    """
    taken = (rule.name for rule in rules if rule.takes(key, labels))
    return next(taken, "train")


class Part(NamedTuple):
    """The images of one shard: ids, classes of each, splits, and which of them can be used."""

    ids: list[str]
    labels: Sequence[Sequence[int]]
    splits: list[str]
    good: np.ndarray


def completed(
    parts: Sequence[Part],
    classes: int,
    shares: dict[str, float],
) -> tuple[list[list[str]], list[str]]:
    """(the splits of each shard's images, the names of those that were held out of train).

    `shares`: {"val": share, "test": share}. A set that has both, or no train images, stays as it
    is. Of images held out for both, test takes its share first, val its share of the rest.
    """
    had = set()
    for part in parts:
        had.update(split for split, good in zip(part.splits, part.good, strict=True) if good)
    splits, held = [list(part.splits) for part in parts], lacking_splits(had, shares)
    rules = [HeldOut(name, shares[name], classes) for name in held]
    for part, into in zip(parts, splits, strict=True):
        if rules:
            _hold_out(part, into, rules)
    return splits, held


def _hold_out(part: Part, into: list[str], rules: list[HeldOut]) -> None:
    for row in np.flatnonzero(part.good).tolist():
        if into[row] == "train":
            into[row] = held_into(rules, part.ids[row], part.labels[row])


def split_notes(had: dict[str, int]) -> list[str]:
    """What will be held out of a set with so many images per split, told before it is."""
    if not had["train"]:
        return ["no train split: nothing can be trained on this set before images of it are added"]
    return [
        f"no {name} split: {SHARES[name]:.0%} of train (setting corpus.{name}_share) will serve as "
        f"{USES[name]}, chosen by the images' ids"
        for name in ("test", "val")
        if not had[name]
    ]


def held_out_note(split: str, taken: int, share: float) -> str:
    """What was held out of a set, told after it was."""
    if not taken:
        return f"no {split} split, and no class has two images to hold one out of: add images"
    rule = f"corpus.{split}_share = {share:g}"
    return f"no {split} split: {taken:,} images of train ({rule}) serve as {USES[split]}"
