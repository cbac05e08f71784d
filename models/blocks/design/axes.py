"""Axes of design spaces: a grid of values, how likely each is, and fast draws from it.

Radosavovic, Kosaraju, Girshick, He, Dollár 2020, "Designing Network Design Spaces", arXiv
2003.13678, sections 3.2 and
3.3; grids and distributions are those of the authors' sampler (pycls).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["Axis"]


class Axis:
    """One value per column, drawn from the same grid; `ordered` columns never decrease.

    scale: `linear`, the values alike likely; `log`, each as likely as the logarithm's step up to it
    is long, so that the quantised draw is log-uniform; `choice`, alike likely and without an order.
    """

    def __init__(
        self, columns: Sequence[str], values: Sequence, scale: str, ordered: bool = False
    ) -> None:
        self.columns, self.scale, self.ordered = list(columns), scale, ordered and len(columns) > 1
        self.values = np.sort(np.array(values))
        if not len(self.values) or self.values[0] <= 0 or (np.diff(self.values) == 0).any():
            raise ValueError(
                f"{columns[0]}: {list(values)} is no range: give positive, different numbers"
            )
        weights = np.ones(len(self.values))
        if scale == "log":
            # the step up to the first value is as long as the next one, if that stays above 0
            step = np.diff(self.values[:2]).sum() or np.inf
            first = self.values[0] - min(step, self.values[0] / 2)
            weights = np.diff(np.log(self.values), prepend=np.log(first))
        self.chances = weights / weights.sum()
        self.below = np.cumsum(self.chances).clip(max=1)
        self.below[-1] = 1
        # slots half as wide as the least chance: at most one boundary in each, so that a draw takes
        # one look-up
        slots = 2 ** int(np.ceil(1 - np.log2(self.chances.min())))
        self.slots = np.searchsorted(self.below, np.arange(slots) / slots, side="right")

    @classmethod
    def steps(
        cls, columns: Sequence[str], limits: tuple[float, float], step: float, scale: str, **more
    ) -> "Axis":
        """All multiples of step within the limits, both included."""
        low, high = limits
        # below 1 an integer, a division by which gives the float that is written: 0.3, not 3 * 0.1
        per = round(1 / step) if step < 1 else 1 / step
        if not 0 < low <= high < np.inf:
            raise ValueError(
                f"{columns[0]}: [{low}, {high}] is no range: give two positive numbers, "
                "the lower first"
            )
        ends = [round(limit * per) for limit in limits]
        if any(abs(limit * per - end) > 1e-6 for limit, end in zip(limits, ends, strict=True)):
            raise ValueError(f"{columns[0]}: [{low}, {high}] must be multiples of {step}")
        grid = np.arange(ends[0], ends[1] + 1)
        return cls(columns, grid / per if step < 1 else grid * step, scale, **more)

    @classmethod
    def group_widths(cls, columns: Sequence[str], limits: Sequence[int], **more) -> "Axis":
        """Between two limits, log-uniformly, powers of two up to 8 and multiples of 8 from there.

        Or more choices.
        """
        if len(limits) != 2:
            return cls(columns, limits, "choice", **more)
        low, high = limits
        grid = [g for g in (1, 2, 4, *range(8, high + 1, 8)) if low <= g <= high]
        return cls(columns, grid, "log", **more)

    @classmethod
    def ratios(cls, columns: Sequence[str], choices: Sequence[float]) -> "Axis":
        """Bottleneck ratios that every width can be fitted to."""
        if any(b <= 0 or (b % 1 and 1 / b % 1) for b in choices):
            raise ValueError(
                f"{columns[0]}: {list(choices)}: use whole numbers, such as 1, 2, 4, or 1/2, 1/4"
            )
        return cls(columns, choices, "choice")

    def __len__(self) -> int:
        return len(self.values)

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Places on the grid, (columns, n)."""
        if self.ordered:
            return self._ordered(n, rng)
        if len(self) == 1:
            return np.zeros((len(self.columns), n), np.intp)
        u = rng.random((len(self.columns), n))
        found = self.slots[(u * len(self.slots)).astype(np.intp)]
        return found + (u >= self.below[found])

    def _ordered(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Independent draws on condition that none is below the one before, without a rejection."""
        places, last = np.empty((len(self.columns), n), np.intp), np.zeros(n, np.intp)
        for row, weights in zip(places, self._conditional(), strict=True):
            mass = np.concatenate([[0], np.cumsum(weights)])
            u = mass[last] + rng.random(n) * (mass[-1] - mass[last])
            row[:] = np.clip(np.searchsorted(mass, u, side="right") - 1, last, len(self) - 1)
            last = row
        return places

    def _conditional(self) -> list[np.ndarray]:
        """Per column, the chance of each value times that of all that may follow it."""
        weights = [self.chances]
        for _ in self.columns[1:]:
            weights.append(self.chances * np.cumsum(weights[-1][::-1])[::-1])
        return weights[::-1]

    def suggest(self, trial: Any, column: str) -> Any:
        """The grid's value nearest to what an Optuna trial suggests."""
        low, high = self.values[0].item(), self.values[-1].item()
        if low == high:
            return low
        if self.scale == "choice":
            return trial.suggest_categorical(column, self.values.tolist())
        if self.scale == "linear":
            return trial.suggest_int(column, low, high)
        suggested = trial.suggest_float(column, low, high, log=True)
        return self.values[np.abs(self.values - suggested).argmin()].item()

    def places(self, values: np.ndarray) -> np.ndarray:
        """Where values are on the grid; -1 for what is not."""
        found = np.searchsorted(self.values, values).clip(max=len(self) - 1)
        return np.where(self.values[found] == values, found, -1)
