"""Statistics over several networks: error distributions, what good ones have in common, intervals over seeds.

Radosavovic, Kosaraju, Girshick, He, Dollár 2020, "Designing Network Design Spaces", arXiv 2003.13678: section 3.1,
equation 1 (error distribution) and the empirical bootstrap.
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy import stats


def edf(errors: Sequence[float]) -> tuple[list[float], list[float]]:
    """Sorted errors, and the fraction of networks that err no more than each."""
    _check(errors)
    return sorted(errors), [(k + 1) / len(errors) for k in range(len(errors))]


def bootstrap(
    values: Sequence[float],
    errors: Sequence[float],
    generator: torch.Generator,
    fraction: float = 0.25,
    repeats: int = 10_000,
) -> tuple[float, float, float]:
    """(low, median, high): median and 95 % interval of a parameter's value in good networks.

    Each repeat draws a fraction of the networks with replacement and takes the value of the best one.
    """
    _check(errors)
    if len(values) != len(errors):
        raise ValueError(f"{len(values)} values and {len(errors)} errors: give one of each per network")
    n = len(errors)
    drawn = torch.randint(n, (repeats, max(1, round(n * fraction))), generator=generator)
    best = drawn.gather(1, torch.tensor(errors)[drawn].argmin(1, keepdim=True))
    found = torch.tensor(values, dtype=torch.float64)[best[:, 0]]
    low, median, high = found.quantile(torch.tensor([0.025, 0.5, 0.975], dtype=torch.float64)).tolist()
    return low, median, high


def _check(errors: Sequence[float]) -> None:
    if not len(errors) or any(e != e for e in errors):
        raise ValueError(f"errors of {len(errors)} networks, some of them not a number: leave out failed trials")


def over_seeds(values: Sequence[float], level: float = 0.95) -> tuple[float, float | None, float | None]:
    """(mean, low, high): Student's t interval; a single value has none."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, None, None
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return mean, mean - half, mean + half
