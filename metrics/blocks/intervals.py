"""95 % intervals of a metric over the samples that it was computed from.

What they cover: the values that other samples of the same kind could give, for the same weights.
They know nothing of other seeds, nor of samples that depend on one another, as images of one user.

A proportion has Wilson's interval: Wilson 1927, "Probable Inference, the Law of Succession, and
Statistical Inference". A mean of proportions has Wilson's of as many samples as would tell as much:
Franco, Little, Louis, Slud 2019, "Comparative Study of Confidence Intervals for Proportions in
Complex Sample Surveys". Whatever else has the percentiles of a bootstrap over samples: Efron 1979,
"Bootstrap Methods: Another Look at the Jackknife". They are too close where there are few samples,
or few of a class, and one where all is right. benchmarks/metric_intervals.py tells how often they
hold the truth.
"""

from collections.abc import Callable, Iterator
from math import sqrt

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

RESAMPLES = 1000
SEED = 0
MORE = 2  # samples of each class
# samples times resamples that are held at a time: 64 MB of float32
HELD = 16 * 2**20
ENDS = (0.025, 0.975)


def wilson(hits: float, samples: float, z: float = 1.959964) -> tuple[float, float]:
    """Bounds of a proportion; z is the normal quantile, here for 95 %."""
    p, shrink = hits / samples, 1 + z * z / samples
    centre = p + z * z / (2 * samples)
    half = z * sqrt(p * (1 - p) / samples + z * z / (4 * samples**2))
    return max(0.0, (centre - half) / shrink), min(1.0, (centre + half) / shrink)


def wilson_of_mean(hits: ndarray, samples: ndarray) -> tuple[float, float]:
    """Bounds of the mean over classes of proportions: hits and samples (classes,), all above 0."""
    mean, classes = float((hits / samples).mean()), len(samples)
    # of a class of one sample all or none is right, which is no sign of no variance: with some more
    # samples of the mean, the interval holds the truth as often as promised
    share = (hits + MORE * mean) / (samples + MORE)
    variance = (share * (1 - share) / samples).sum() / classes**2
    # what the quotient below tends to where all classes are alike
    effective = classes**2 / (1 / samples).sum()
    if variance > 0:
        effective = mean * (1 - mean) / variance
    return wilson(mean * effective, effective)


def resamples(samples: int, count: int) -> Iterator[ndarray]:
    """How often each sample is in each of `count` resamples: float32 (samples, some of them).

    As many samples are drawn each time, with replacement, and the same for the same numbers.
    """
    generator = np.random.default_rng(SEED)
    some = max(1, HELD // samples)
    for first in range(0, count, some):
        drawn = [
            np.bincount(generator.integers(samples, size=samples), minlength=samples)
            for _ in range(min(some, count - first))
        ]
        yield np.stack(drawn, 1, dtype=np.float32, casting="unsafe")


def bootstrap(samples: int, count: int, measured: Callable[[ndarray], ndarray]) -> Tensor:
    """A headline's values in `count` resamples, float64 (count,), with the headline as their mean.

    measured: the headline in percent of weights (samples, m), (m,), NaN where there is nothing to
    measure. Such resamples are NaN here too.
    """
    value = measured(np.ones((samples, 1)))[0]
    parts = [measured(weights) for weights in resamples(samples, count)]
    values = torch.from_numpy(np.concatenate(parts).astype(float))
    # A resample repeats samples, which raises average precision: that of 3 % true samples in random
    # order from 3.07 to 3.14 %, more than half an interval. Without the shift the interval of such
    # a headline would not hold it.
    return values - values.nanmean() + value


def percentiles(headline: str, values: Tensor) -> dict[str, float]:
    """{"<headline>_low", "<headline>_high"}: ends of the middle 95 % of values in percent."""
    ends = torch.tensor(ENDS, dtype=torch.float64)
    low, high = values.nanquantile(ends).clamp(0, 100).tolist()
    return {f"{headline}_low": low, f"{headline}_high": high}


def mean_percentiles(headline: str, values: Tensor, count: int) -> dict[str, float]:
    """The same of a mean over samples: values of each of them (n,), in percent."""

    def measured(weights: ndarray) -> ndarray:
        return values.numpy() @ weights / len(values)

    return percentiles(headline, bootstrap(len(values), count, measured))
