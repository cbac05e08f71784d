"""Do two samples of networks differ, and do two measures of the same networks agree?

Radosavovic et al. 2019, "On Network Design Spaces for Visual Recognition", arXiv 1905.13214:
Kolmogorov and Smirnov's test between design spaces, also normalised by complexity. Liu, Dollár, He,
Girshick, Yuille, Xie 2020, "Are Labels Necessary for Neural Architecture Search?", arXiv
2003.12056: rank correlation between pretexts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from scipy import stats

from engine.measure.statistics import complexity_bins, complexity_weights, finite

CHUNK = 2**22  # numbers shuffled at a time


class KS(NamedTuple):
    """Greatest distance of two distributions, its p-value, and the sizes that are compared.

    p: the chance of a distance as great if both samples were of one distribution.
    """

    distance: float
    p: float
    sizes: tuple[int, int]


def ks(left: Sequence[float], right: Sequence[float]) -> KS:
    """Two-sample Kolmogorov-Smirnov test; p is exact up to 10,000 networks."""
    found = stats.ks_2samp(finite(left), finite(right))
    return KS(float(found.statistic), float(found.pvalue), (len(left), len(right)))


def normalised_ks(
    errors: tuple[Sequence[float], Sequence[float]],
    complexities: tuple[Sequence[float], Sequence[float]],
    generator: torch.Generator,
    repeats: int = 10_000,
) -> KS | None:
    """The same of distributions normalised by complexity, in the bins with networks of both.

    None where there is no such bin.

    p by permutation within each bin: would it matter which sample a network is of, among networks
    of its complexity?
    """
    second = np.repeat([False, True], [len(side) for side in errors])
    bins, pooled = complexity_bins(np.concatenate(complexities)), finite(np.concatenate(errors))
    order = np.argsort(pooled)
    order = order[np.isin(bins, np.intersect1d(bins[second], bins[~second]))[order]]
    if not len(order):
        return None
    second, bins, pooled = second[order], bins[order], pooled[order]
    # of opposite signs: a single running sum is the difference of the two distributions
    weights = np.empty(len(order))
    weights[second] = -complexity_weights(bins[second])
    weights[~second] = complexity_weights(bins[~second])
    last = np.append(pooled[1:] != pooled[:-1], True)  # of equal errors

    def distances(weights: np.ndarray) -> np.ndarray:
        return np.abs(np.cumsum(weights, axis=-1)[..., last]).max(-1)

    found = distances(weights)
    as_far = 0
    rows = CHUNK // len(order) + 1
    for start in range(0, repeats, rows):
        shuffled = _shuffled(weights, bins, min(rows, repeats - start), generator)
        # equal distances differ by the rounding of their sums
        as_far += int((distances(shuffled) >= found - 1e-12).sum())
    # The sample itself counts as one of the permutations, so that p is never 0 (Phipson, Smyth
    # 2010, "Permutation P-values Should Never Be Zero").
    sizes = int((~second).sum()), int(second.sum())
    return KS(float(found), (1 + as_far) / (1 + repeats), sizes)


def _shuffled(
    values: np.ndarray, bins: np.ndarray, times: int, generator: torch.Generator
) -> np.ndarray:
    """(times, n): the values, each row shuffled within each bin."""
    by_bin = np.argsort(bins, kind="stable")
    chance = torch.rand(times, len(values), generator=generator, dtype=torch.float64).numpy()
    # chances are below 1: added to its bin's number, each leaves a value within its bin
    shuffled = np.empty(chance.shape)
    shuffled[:, by_bin] = values[by_bin][np.argsort(chance + bins[by_bin], axis=1)]
    return shuffled


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's 1979 correction of the p-values of several tests.

    What stays below 0.05 does so for all of them together.
    """
    order = np.argsort(p)
    raised = np.maximum.accumulate(np.asarray(p)[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(raised, 1)
    return adjusted


def mean_difference(
    left: Sequence[float], right: Sequence[float]
) -> tuple[float, float | None, float | None]:
    """(mean of right - mean of left, low, high): Welch's 95 % interval.

    None where a sample has one network only.
    """
    difference = float(finite(right).mean() - finite(left).mean())
    if min(len(left), len(right)) < 2:
        return difference, None, None
    interval = stats.ttest_ind(right, left, equal_var=False).confidence_interval()
    return difference, float(interval.low), float(interval.high)


def rank_correlations(
    left: Sequence[float], right: Sequence[float], generator: torch.Generator, repeats: int = 2000
) -> dict[str, tuple[float, float, float]]:
    """(value, low, high) of Spearman's rho and of Kendall's tau-b.

    The 95 % interval is by the bootstrap over the networks.

    Not a number where one side is constant; resamples of which that is true are left out.
    """
    left, right = finite(left), finite(right)
    if len(left) != len(right):
        raise ValueError(f"{len(left)} and {len(right)} values: give two of each network")
    drawn = torch.randint(len(left), (repeats, len(left)), generator=generator).numpy()
    resampled = {
        "spearman": _spearman(left[drawn], right[drawn]),
        "kendall": _kendall(left, right, drawn),
    }
    with np.errstate(invalid="ignore"):
        values = {
            "spearman": _spearman(left[None], right[None])[0],
            "kendall": stats.kendalltau(left, right).statistic,
        }
    correlations = {}
    for name, value in values.items():
        found = resampled[name][~np.isnan(resampled[name])]
        ends = np.quantile(found if len(found) else [np.nan], (0.025, 0.975))
        correlations[name] = (float(value), *ends.tolist())
    return correlations


def _spearman(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Of each row (r, n): Pearson's correlation of the ranks."""
    a, b = (stats.rankdata(side, axis=1) for side in (left, right))
    a, b = (ranks - ranks.mean(1, keepdims=True) for ranks in (a, b))
    # 0 / 0 where a side is constant: the answer is that there is none
    with np.errstate(invalid="ignore"):
        return (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))


def _kendall(left: np.ndarray, right: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Tau-b of each resample: signs of all pairs, as often as the resample holds both networks."""
    times = np.zeros((len(drawn), len(left)))
    np.add.at(times, (np.arange(len(drawn))[:, None], drawn), 1)
    a, b = (np.sign(side[:, None] - side) for side in (left, right))
    both, first, second = (
        np.einsum("ri,ri->r", times @ signs, times) for signs in (a * b, abs(a), abs(b))
    )
    with np.errstate(invalid="ignore"):
        return both / np.sqrt(first * second)
