"""Statistics over the networks of a design space, and intervals over seeds.

Failed trials have no error, no place here.

Radosavovic, Kosaraju, Girshick, He, Dollár 2020, "Designing Network Design Spaces", arXiv
2003.13678: section 3.1, equation 1 (error distribution) and the empirical bootstrap. Radosavovic,
Johnson, Xie, Lo, Dollár 2019, "On Network Design Spaces for Visual Recognition", arXiv 1905.13214:
distributions normalised by complexity.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy import stats
from scipy.special import gammaln

BINS = 10  # of complexity


def edf(
    errors: Sequence[float], weights: Sequence[float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Sorted errors, and the share (or weight) of networks that err no more than each.

    Equation 1, F(e) = share of networks below e, is the step function that rises to these shares
    after the errors.
    """
    errors = finite(errors)
    order = np.argsort(errors, kind="stable")
    steps = np.ones(len(errors)) if weights is None else np.asarray(weights, float)[order]
    risen = np.cumsum(steps)
    return errors[order], risen / risen[-1]


def complexity_bins(
    complexity: Sequence[float], among: Sequence[float] | None = None, bins: int = BINS
) -> np.ndarray:
    """The bin of each network; bins of equal width span the complexities `among` (or these)."""
    within = finite(complexity if among is None else among)
    # by the edges between bins alone: with the last one the largest would have a bin to itself
    return np.digitize(complexity, np.linspace(within.min(), within.max(), bins + 1)[1:-1])


def complexity_weights(bins: np.ndarray) -> np.ndarray:
    """Weights that give every bin that is not empty the same share.

    1 / (count in bin) / (number of such bins).
    """
    _, place, counts = np.unique(bins, return_inverse=True, return_counts=True)
    return 1 / counts[place] / len(counts)


def good_ranges(
    axes: Mapping[str, Sequence[float]],
    errors: Sequence[float],
    generator: torch.Generator,
    fraction: float = 0.25,
    repeats: int = 10_000,
) -> dict[str, tuple[float, float, float]]:
    """(low, median, high) of each axis: median and 95 % interval of its value in good networks.

    By the empirical bootstrap.

    Each repeat draws a fraction of the networks with replacement and takes the values of the best
    one.
    """
    ranked, n = torch.from_numpy(finite(errors)), len(errors)
    wrong = {axis: len(values) for axis, values in axes.items() if len(values) != n}
    if wrong:
        raise ValueError(f"{n} errors, but values of axes {wrong}: give one of each per network")
    drawn = torch.randint(n, (repeats, max(1, round(n * fraction))), generator=generator)
    best = drawn.gather(1, ranked[drawn].argmin(1, keepdim=True))[:, 0].numpy()
    found = {
        axis: np.quantile(np.asarray(values, float)[best], (0.025, 0.5, 0.975))
        for axis, values in axes.items()
    }
    return {axis: tuple(quantiles.tolist()) for axis, quantiles in found.items()}


def best_of(
    errors: Sequence[float], ks: Sequence[int], generator: torch.Generator, repeats: int = 1000
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(expected, low, high): the least error of k networks drawn without replacement.

    The interval is of 95 %, by the bootstrap.

    Unbiased: the i-th best of n is the best of C(n-i, k-1) among the C(n, k) draws. For k near n
    the interval is of little worth, as the best of all says little of what lies below it.
    """
    errors, k = np.sort(finite(errors)), np.asarray(ks)[:, None]
    n = len(errors)
    if k.min() < 1 or k.max() > n:
        raise ValueError(
            f"best of {k.min()} to {k.max()} networks, but there are {n}: ask for 1 to {n}"
        )
    rest = n - np.arange(1, n + 1)  # networks worse than the i-th
    # by logarithms: binomial coefficients of a few hundred networks are beyond a float
    log = gammaln(rest + 1) - gammaln(k) - gammaln(np.maximum(rest - k + 2, 1))
    log -= gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    chance = np.where(rest >= k - 1, np.exp(log), 0)  # (k, n)
    drawn = np.sort(torch.randint(n, (repeats, n), generator=generator).numpy())
    low, high = np.quantile(errors[drawn] @ chance.T, (0.025, 0.975), axis=0)
    return chance @ errors, low, high


def pareto_front(objectives: np.ndarray) -> np.ndarray:
    """Which of the points (n, m) none beats: as good in every objective, better in one.

    Less is better.

    Points that are equal in all objectives are on the front together.
    """
    points = np.asarray(objectives, float)
    if np.isnan(points).any():
        raise ValueError("an objective is not a number: leave out failed trials")
    beaten = [((points <= p).all(1) & (points < p).any(1)).any() for p in points]
    return ~np.array(beaten, dtype=bool)


def finite(errors: Sequence[float]) -> np.ndarray:
    """The errors as an array: at least one, all of them numbers."""
    errors = np.asarray(errors, float)
    if not len(errors) or not np.isfinite(errors).all():
        raise ValueError(
            f"errors of {len(errors)} networks, some of them not a number: leave out failed trials"
        )
    return errors


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard deviation over seeds (n - 1 in the denominator).

    A single value has none.
    """
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def over_seeds(
    values: Sequence[float], level: float = 0.95
) -> tuple[float, float | None, float | None]:
    """(mean, low, high): Student's t interval; a single value has none."""
    mean, std = spread(values)
    if std is None:
        return mean, None, None
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * std / len(values) ** 0.5
    return mean, mean - half, mean + half
