"""95 % intervals of numbers that are no shares: percentiles of a bootstrap over samples.

Efron 1979, "Bootstrap Methods: Another Look at the Jackknife". They cover what other samples of the
same kind could give, for the same weights, and know nothing of samples that depend on one another.
They are too close where there are few samples, or few of a class, and one where all is right:
benchmarks/metric_intervals.py tells how often they hold the truth.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

RESAMPLES = 1000
SEED = 0
# samples times resamples that are held at a time: 64 MB of float32
HELD = 16 * 2**20
ENDS = (0.025, 0.975)


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


def percentiles(headline: str, values: Tensor, most: float = 100.0) -> dict[str, float]:
    """{"<headline>_low", "<headline>_high"}: ends of the middle 95 % of values in percent, of 0 to
    `most`.
    """
    ends = torch.tensor(ENDS, dtype=torch.float64)
    low, high = values.nanquantile(ends).clamp(0, most).tolist()
    return {f"{headline}_low": low, f"{headline}_high": high}


def mean_percentiles(headline: str, values: Tensor, count: int) -> dict[str, float]:
    """The same of a mean over samples: values of each of them (n,), in percent."""

    def measured(weights: ndarray) -> ndarray:
        return values.numpy() @ weights / len(values)

    return percentiles(headline, bootstrap(len(values), count, measured))
