"""One rule for every interval of an accuracy, or of a gain: over seeds and test images together.

Another seed and other test images of the same kind would give another accuracy. Both are random and
crossed, every seed predicts every image, so a mean over S seeds and N images varies by

    var(mean) = var(seed) / S + var(image) / N + var(rest) / (S N)

(Brennan 2001, "Generalizability Theory", chapter 3, a p x i design; why seeds belong in it:
Bouthillier et al. 2021, "Accounting for Variance in Machine Learning Benchmarks", arXiv 2103.03098).
With the mean squares of a two-way analysis of variance that is (MS_seed + MS_image - MS_rest) / (S N),
which has the degrees of freedom of Satterthwaite 1946, "An Approximate Distribution of Estimates of
Variance Components", Biometrics Bulletin 2 (6).
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.95


class Interval(NamedTuple):
    """A mean and the ends of its interval, all in the unit of what was averaged."""

    mean: float
    low: float
    high: float


def crossed(values: np.ndarray) -> tuple[float, float]:
    """(variance of the mean, its degrees of freedom) of values (seeds, images), both at random.

    One seed tells of images only. A negative component counts as none.
    """
    values = np.atleast_2d(np.asarray(values, float))
    seeds, images = values.shape
    mean, by_seed, by_image = values.mean(), values.mean(1), values.mean(0)
    ms_image = seeds * ((by_image - mean) ** 2).sum() / max(1, images - 1)
    if seeds == 1:
        return ms_image / images, images - 1
    ms_seed = images * ((by_seed - mean) ** 2).sum() / (seeds - 1)
    rest = values - by_seed[:, None] - by_image + mean
    ms_rest = (rest**2).sum() / ((seeds - 1) * max(1, images - 1))
    parts = np.array([max(0.0, ms_seed - ms_rest), ms_image])
    freedom = np.array([seeds - 1, images - 1])
    total = parts.sum()
    if not total:
        return 0.0, images - 1
    return total / values.size, total**2 / (parts**2 / freedom).sum()


def accuracy_interval(hits: np.ndarray, level: float = LEVEL) -> Interval:
    """Share of hits bool (seeds, images), and its interval, in percent.

    Wilson's (1927) form of the interval, which keeps a width where all are right, with as many
    images as a binomial variance of the same size would need.
    """
    hits = np.atleast_2d(np.asarray(hits, float))
    images, mean = hits.shape[1], hits.mean()
    variance, freedom = crossed(hits)
    binomial = mean * (1 - mean)
    size = min(images, binomial / variance) if variance else images
    z = stats.t.ppf((1 + level) / 2, freedom) if hits.shape[0] > 1 else stats.norm.ppf((1 + level) / 2)
    shrink = 1 + z**2 / size
    centre = (mean + z**2 / (2 * size)) / shrink
    half = z * np.sqrt(binomial / size + z**2 / (4 * size**2)) / shrink
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Interval(100 * mean, 100 * min(low, mean), 100 * max(high, mean))


def gain_interval(ours: np.ndarray, theirs: np.ndarray, level: float = LEVEL) -> Interval:
    """Points that hits `ours` bool (seeds, images) are above `theirs`, paired by seed and by image."""
    added = np.atleast_2d(np.asarray(ours, float)) - np.atleast_2d(np.asarray(theirs, float))
    variance, freedom = crossed(added)
    half = stats.t.ppf((1 + level) / 2, freedom) * np.sqrt(variance)
    return Interval(100 * added.mean(), 100 * (added.mean() - half), 100 * (added.mean() + half))
