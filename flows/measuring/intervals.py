"""The 95 % interval of a model's number, and of what one model is better by, for any metric.

Where a metric tells its headline of every sample (`each()`), seeds and samples are crossed, as
engine/measure/intervals.py says; shares of hits have the intervals of accuracies, to the digit.
Else only the seeds tell of chance, with the interval over samples that the metric may have itself:
both are independent, so that half widths add up as the sides of a right triangle.
"""

from collections.abc import Sequence

import numpy as np
from numpy import ndarray
from scipy import stats

from engine.measure import intervals
from flows.measuring.headline import Headline

FEWEST = 3  # seeds that an interval over seeds alone is told of: of two it is 12.7 deviations wide
Ends = tuple[float, float | None, float | None]  # the number, and the ends of its interval


def _hits(*values: ndarray) -> bool:
    """Whether a headline is a share of hits: 100 or 0 of every sample."""
    return all(bool(np.isin(each, (0.0, 100.0)).all()) for each in values)


def _half(of: intervals.MeanSquares) -> float:
    seed, image = intervals.variance_parts(of)
    return float(intervals.quantile(seed, image, of.seeds) * np.sqrt(seed + image))


def of_values(values: ndarray, headline: Headline) -> Ends:
    """The mean of values (seeds, samples), each in the headline's unit, and its interval."""
    if _hits(values):
        return tuple(intervals.accuracy_interval(values > 0))
    found = intervals.mean_squares(values)
    half = _half(found)
    return _within(float(found.mean), half, half, headline)


def gain_of_values(ours: ndarray, theirs: ndarray, headline: Headline) -> Ends:
    """What `ours` (seeds, samples) are better by than `theirs`, paired by seed and sample."""
    if _hits(ours, theirs):
        # of misses, which are to be few, the other one's more is the gain
        pair = (ours, theirs) if headline.higher else (theirs, ours)
        return tuple(intervals.gain_interval(*(each > 0 for each in pair)))
    found = intervals.mean_squares(headline.merit(ours) - headline.merit(theirs))
    mean, half = float(found.mean), _half(found)
    return mean, mean - half, mean + half


def _over_seeds(values: ndarray) -> float:
    """Half of the interval of a mean over seeds, by Student's t; 0 of a single one."""
    if len(values) < 2:
        return 0.0
    t = stats.t.ppf((1 + intervals.LEVEL) / 2, len(values) - 1)
    return float(t * values.std(ddof=1) / np.sqrt(len(values)))


def of_seeds(numbers: Sequence[dict[str, float]], headline: Headline) -> Ends:
    """The mean of the headline over seeds, whose metrics gave these numbers, and its interval.

    No interval where the metric gives none and there are fewer than FEWEST seeds.
    """
    values = np.array([each[headline.name] for each in numbers], float)
    mean, half = float(values.mean()), _over_seeds(values)
    low, high = f"{headline.name}_low", f"{headline.name}_high"
    if all({low, high} <= each.keys() for each in numbers):
        below = abs(np.mean([each[low] - each[headline.name] for each in numbers]))
        above = abs(np.mean([each[high] - each[headline.name] for each in numbers]))
        return _within(mean, np.hypot(half, below), np.hypot(half, above), headline)
    if len(values) < FEWEST:
        return mean, None, None
    return _within(mean, half, half, headline)


def _within(mean: float, below: float, above: float, headline: Headline) -> Ends:
    # a mean of percentages stays one
    low, high = (0.0, 100.0) if headline.unit == "%" else (-np.inf, np.inf)
    return mean, float(max(low, mean - below)), float(min(high, mean + above))


def gain_of_seeds(
    ours: Sequence[float],
    theirs: Sequence[float],
    headline: Headline,
    resampled: tuple[ndarray, ndarray] | None = None,
) -> Ends:
    """What `ours` are better by than `theirs`, one number per seed; the interval is over seeds.

    resampled: both headlines of the same resamples of the samples, (seeds, resamples) each, where
    there are such: by the percentiles of their differences (Efron 1979) samples tell of chance too.
    """
    pairs = zip(ours, theirs, strict=True)
    apart = np.array([headline.merit(one) - headline.merit(other) for one, other in pairs])
    mean, half = float(apart.mean()), _over_seeds(apart)
    if resampled is not None:
        found = (headline.merit(resampled[0]) - headline.merit(resampled[1])).mean(0)
        own = np.nanquantile(found, [(1 - intervals.LEVEL) / 2, (1 + intervals.LEVEL) / 2])
        below, above = np.maximum(0, [mean - own[0], own[1] - mean])
        return mean, mean - float(np.hypot(half, below)), mean + float(np.hypot(half, above))
    if len(apart) < FEWEST:
        return mean, None, None
    return mean, mean - half, mean + half
