"""What design spaces share: draws within bands of complexity, membership, sizes and costs.

Radosavovic, Kosaraju, Girshick, He, Dollár 2020, "Designing Network Design Spaces", arXiv
2003.13678, sections 3.1 and
3.2: networks are drawn at random from the space, and those outside of a band of complexity
rejected.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from math import factorial, prod
from typing import Any, ClassVar

import numpy as np
import torch

from models.blocks.design.axes import Axis
from models.blocks.design.costs import KINDS, Stages, complexity
from models.blocks.ranges import Positive, Rising

__all__ = ["Band", "DesignSpace", "Values"]

Band = Rising[Positive] | None
Values = dict[str, np.ndarray]  # one array per column of the axes, a network at each place

CHUNK = 2**14  # networks at once: what they need stays in the cache
# draws, made within a second or so, after which a space without a new network counts as exhausted
PATIENCE = 2**22
# draws in all, or per network if that is more, beyond which the band is too thin
EFFORT = 2**28, 4000


class DesignSpace(ABC):
    """Axes, and what a family of spaces makes of their values: sections of params.yaml, and stages.

    bands: params, flops (multiply-adds), acts of the body at `resolution` pixels, (lowest, highest)
    or None. body: what all networks share, options of the backbone. A family adds `defaults`, those
    of the backbone, and four methods.
    """

    defaults: ClassVar[dict[str, Any]] = {"se_ratio": 0.0, "stem_width": 32, "stem_stride": 2}

    def __init__(
        self, axes: Sequence[Axis], bands: dict[str, Band], resolution: int, body: dict[str, Any]
    ) -> None:
        # flops first, since they reject most
        self.bands = {kind: bands[kind] for kind in ("flops", "params", "acts") if bands[kind]}
        self.axes, self.resolution, self.body = list(axes), resolution, body
        self.columns = {column: axis for axis in self.axes for column in axis.columns}

    @abstractmethod
    def section(self, values: dict[str, Any]) -> dict[str, Any]:
        """The section of params.yaml for the backbone with these values of the axes."""

    @abstractmethod
    def values(self, section: dict[str, Any]) -> dict[str, Any]:
        """The values of the axes of a section; LookupError or TypeError if it has none."""

    @abstractmethod
    def as_anynet(self, section: dict[str, Any]) -> dict[str, Any]:
        """The network as a complete section of backbones/anynet, groups fitted.

        Sections are equal where the networks are.
        """

    @abstractmethod
    def stages(self, values: Values, rejected: Counter) -> tuple[Values, Stages]:
        """Values that meet the space's constraints, and their stages.

        The reasons of the others are counted.
        """

    def sample(self, trial: Any) -> dict[str, Any]:
        """A section drawn through an Optuna trial; it may lie outside the bands: ask `contains`."""
        values = {}
        for axis in self.axes:
            suggested = [axis.suggest(trial, column) for column in axis.columns]
            values |= zip(
                axis.columns, sorted(suggested) if axis.ordered else suggested, strict=True
            )
        return self.section(values)

    def contains(self, section: dict[str, Any]) -> bool:
        """Whether a section is in every range and band, and meets the constraints of the space."""
        try:
            values = self.values(section)
        except (LookupError, TypeError):
            return False
        if self.section(values) != self.defaults | section:
            return False
        arrays = {column: np.array([value]) for column, value in values.items()}
        for axis in self.axes:
            places = [axis.places(arrays[column]).item() for column in axis.columns]
            if min(places) < 0 or (axis.ordered and places != sorted(places)):
                return False
        return _number(self._members(arrays, Counter())) == 1

    def neighbours(self, section: dict[str, Any]) -> list[dict[str, Any]]:
        """The members of the space that differ from a section by one step along one column."""
        values, found = self.values(section), []
        for column, axis in self.columns.items():
            place = axis.places(np.array([values[column]])).item()
            for near in (place - 1, place + 1):
                if place >= 0 and 0 <= near < len(axis):
                    found.append(self.section(values | {column: axis.values[near].item()}))
        return [section for section in found if self.contains(section)]

    def size(self) -> float:
        """How many networks the axes span, bands aside.

        K ordered columns count once per k!, as in the paper.
        """
        counts = [(len(axis), len(axis.columns), axis.ordered) for axis in self.axes]
        return float(prod(n**k / (factorial(k) if ordered else 1) for n, k, ordered in counts))

    def cost(self, section: dict[str, Any], classes: int = 0) -> dict[str, int]:
        """{"params", "flops", "acts"} of the body and of a linear head if classes are given.

        Without building it.
        """
        network = self.as_anynet(section)
        body = {key: network[key] for key in ("stem_width", "stem_stride", "se_ratio")}
        if network.get("spatial") or network.get("after"):
            raise ValueError(f"{type(self).__name__} knows no costs of slots: take space slots")
        counted = complexity(stages_of(network), self.resolution, **body, classes=classes)
        return {kind: count.item() for kind, count in counted.items()}

    def costs(
        self, values: Values, stages: Stages, kinds: Sequence[str] = KINDS, classes: int = 0
    ) -> Values:
        """What `cost` gives, or some of it, of many networks at once: an array per kind."""
        return complexity(stages, self.resolution, **self.body, classes=classes, kinds=kinds)

    def draw(self, n: int, generator: torch.Generator) -> list[dict[str, Any]]:
        """So many different members, as the values of their axes, drawn from the distribution."""
        arrays = self.drawn(n, generator)
        columns = [array.tolist() for array in arrays.values()]
        return [dict(zip(arrays, row, strict=True)) for row in zip(*columns, strict=True)]

    def drawn(self, n: int, generator: torch.Generator) -> Values:
        """What `draw` gives, as arrays.

        ValueError where fewer exist or are too rare: what rejected the others.
        """
        seed = torch.randint(2**62, (), generator=generator, device=generator.device).item()
        rng, rejected = np.random.default_rng(seed), Counter()
        found = {column: axis.values[:0] for column, axis in self.columns.items()}
        tried = grown = have = 0
        while have < n:
            thin = tried >= PATIENCE and tried * n > have * max(EFFORT[0], EFFORT[1] * n)
            if thin or tried - grown >= PATIENCE:
                raise ValueError(self._failure(have, n, tried, rejected, rng))
            # not fewer than a quarter of what is there: to find repetitions costs as much as that
            batches, wanted, until = [found], max(n - have, have // 4), tried + PATIENCE
            while wanted > 0 and tried < until:
                batches.append(self._members(self._proposed(rng), rejected))
                wanted, tried = wanted - _number(batches[-1]), tried + CHUNK
            together = _joined(batches)
            found = self._distinct(together)
            rejected["drawn before"] += _number(together) - _number(found)
            if _number(found) > have:
                grown = tried
            have = _number(found)
        return {column: values[:n] for column, values in found.items()}

    def _proposed(self, rng: np.random.Generator) -> Values:
        values = {}
        for axis in self.axes:
            values |= zip(axis.columns, axis.values[axis.draw(CHUNK, rng)], strict=True)
        return values

    def _members(self, values: Values, rejected: Counter) -> Values:
        """Those values that are of members of the space; the reasons of the others are counted."""
        values, stages = self.stages(values, rejected)
        for kind, (low, high) in self.bands.items():
            count = self.costs(values, stages, (kind,))[kind]
            few, many = count < low, count > high
            rejected[f"too few {kind}"] += int(few.sum())
            rejected[f"too many {kind}"] += int(many.sum())
            values, stages = select(~few & ~many, values, stages)
        return values

    def _distinct(self, values: Values) -> Values:
        """Without repetitions, in order.

        Networks are told apart by 64 bits of their values' places.
        """
        drawn = np.random.default_rng(0).integers(2**63, size=len(values), dtype=np.uint64)
        factors = drawn * 2 + 1  # odd, so that a product with one keeps all bits
        keys = np.zeros(_number(values), np.uint64)
        for factor, (column, axis) in zip(factors, self.columns.items(), strict=True):
            keys += factor * axis.places(values[column]).astype(np.uint64)
        first = np.sort(np.unique(keys, return_index=True)[1])
        return {column: array[first] for column, array in values.items()}

    def _failure(
        self, found: int, n: int, tried: int, rejected: Counter, rng: np.random.Generator
    ) -> str:
        reasons = ", ".join(
            f"{count:,} {reason}" for reason, count in rejected.most_common() if count
        )
        values, stages = self.stages(self._proposed(rng), Counter())
        seen = "no network meets the constraints"
        if _number(values):
            rows = []
            for kind, count in self.costs(values, stages).items():
                quartiles = np.quantile(count, (0, 0.25, 0.5, 0.75, 1))
                rows.append(f"{kind} " + " ".join(f"{quartile:.1e}" for quartile in quartiles))
            seen = f"least, quartiles and most without the bands: {', '.join(rows)}"
        return (
            f"found {found} of {n} different networks in {tried:,} draws from the space; "
            f"rejected: {reasons}; {seen}: widen what rejects most, or ask for fewer"
        )


def stages_of(network: dict[str, Any]) -> Stages:
    """The stages of one network, a section of backbones/anynet."""
    keys = ("depths", "widths", "bottleneck_ratios", "group_widths")
    return Stages(*(np.array(network[key])[:, None] for key in keys))


def select(keep: np.ndarray, values: Values, stages: Stages) -> tuple[Values, Stages]:
    """Networks whose place is true."""
    places = np.flatnonzero(keep)
    kept = {column: array[places] for column, array in values.items()}
    return kept, Stages(*(rows[:, places] for rows in stages))


def _joined(batches: Sequence[Values]) -> Values:
    joined = {}
    for column in batches[0]:
        joined[column] = np.concatenate([batch[column] for batch in batches])
    return joined


def _number(values: Values) -> int:
    return len(next(iter(values.values())))
