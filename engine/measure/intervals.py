"""One rule for every interval of an accuracy, or of a gain: over seeds and test images together.

Another seed and other test images of the same kind would give another accuracy. Both are random and
crossed, as every seed predicts every image, so a mean over S seeds and N images varies by

    var(mean) = var(seed) / S + var(image) / N + var(rest) / (S N),

of which a two-way analysis of variance tells (Brennan 2001, "Generalizability Theory", chapter 3,
the p x i design; why seeds belong in it: Bouthillier et al. 2021, "Accounting for Variance in
Machine Learning Benchmarks", arXiv 2103.03098). With its mean squares that is the sum of
(MS_seed - MS_rest / 2) / (S N), known from few seeds, and (MS_image - MS_rest / 2) / (S N), known
from many images: the error of the mean is the sum of a Student and of a normal variable, whose
quantile is Behrens' (1929) and Fisher's (1935, "The fiducial argument in statistical inference",
Annals of Eugenics 6).

The rest belongs to both; half of it each is what keeps coverage nearest to 95 %. With
Satterthwaite's (1946) degrees of freedom, the common choice, coverage falls to 90 % and less where
seeds are few and differ: benchmarks/coverage.py.
"""

import functools
from typing import NamedTuple

import numpy as np
from numpy import ndarray
from scipy import stats

LEVEL = 0.95
RATIOS = np.linspace(0, 1, 401)  # of the seeds' part in the variance, between which is interpolated
STRATA = (np.arange(400) + 0.5) / 400  # of a chi-square distribution that is averaged over
MISSES = 0.2  # test images' worth of belief that seeds agree: of hardly a miss nobody can tell


class Interval(NamedTuple):
    """A mean and the ends of its interval, all in percent or in points."""

    mean: float
    low: float
    high: float


class MeanSquares(NamedTuple):
    """The mean of values (..., seeds, images) and the mean squares of their analysis of variance.

    Arrays of shape (...).
    """

    mean: ndarray
    seed: ndarray
    image: ndarray
    rest: ndarray
    seeds: int
    images: int


def mean_squares(values: ndarray) -> MeanSquares:
    """The two-way analysis of variance of values (..., seeds, images), one for each pair."""
    *_, seeds, images = values.shape
    by_seed, by_image = values.mean(-1, dtype=float), values.mean(-2, dtype=float)
    mean = by_seed.mean(-1)
    seed = images * ((by_seed - mean[..., None]) ** 2).sum(-1)
    image = seeds * ((by_image - mean[..., None]) ** 2).sum(-1)
    whole = np.square(values).sum((-2, -1), dtype=float) - seeds * images * mean**2
    rest = np.maximum(0.0, whole - seed - image)
    free = max(1, seeds - 1), max(1, images - 1)  # a single one has no square to divide
    return MeanSquares(
        mean,
        seed / free[0],
        image / free[1],
        rest / free[0] / free[1],
        seeds,
        images,
    )


def variance_parts(of: MeanSquares) -> tuple[ndarray, ndarray]:
    """The seeds' and the images' part of the variance of the mean; negative ones count as none."""
    if of.seeds == 1:
        return np.zeros_like(of.mean), of.image / of.images
    seed = np.maximum(0.0, of.seed - of.rest / 2)
    image = np.maximum(of.image / 2, of.image - of.rest / 2)
    return seed / (of.seeds * of.images), image / (of.seeds * of.images)


@functools.lru_cache(maxsize=64)
def _quantiles(freedom: int) -> ndarray:
    """For every ratio r: h with P(|sqrt(r) T + sqrt(1 - r) Z| < h) = LEVEL; T's `freedom`."""
    chi2 = stats.chi2.ppf(STRATA, freedom) / freedom
    deviation = np.sqrt(RATIOS[:, None] / chi2 + 1 - RATIOS[:, None])
    low = np.zeros(len(RATIOS))
    high = np.full(len(RATIOS), stats.t.ppf((1 + LEVEL) / 2, freedom) + 2)
    # the quantile has no formula: halved until the bits of a float are used up
    for _ in range(50):
        middle = (low + high) / 2
        inside = 2 * stats.norm.cdf(middle[:, None] / deviation).mean(1) - 1
        low = np.where(inside < LEVEL, middle, low)
        high = np.where(inside < LEVEL, high, middle)
    return high


def quantile(seed: ndarray, image: ndarray, seeds: int) -> ndarray:
    """In standard deviations of a mean whose variance has these parts: half of its interval."""
    if seeds == 1:
        return np.full(np.shape(image), stats.norm.ppf((1 + LEVEL) / 2))
    ratio = seed / np.maximum(seed + image, np.finfo(float).tiny)
    return np.interp(ratio, RATIOS, _quantiles(seeds - 1))


def of_accuracy(of: MeanSquares) -> tuple[ndarray, ndarray]:
    """Ends of the interval of shares, by Wilson's (1927) formula.

    With as many images as a binomial variable of the same variance would have; for one seed it is
    Wilson's own interval. It has a width where all are right, and stays within 0 and 1.
    """
    seed, image = variance_parts(of)
    binomial = of.mean * (1 - of.mean)
    # variance of the mean in that of so many independent images: 1 where all seeds agree
    ratio = (seed + image) * of.images / np.maximum(binomial, np.finfo(float).tiny)
    rare = of.images * np.minimum(of.mean, 1 - of.mean)
    ratio = np.maximum(ratio, (rare * ratio + MISSES) / (rare + MISSES))
    size = of.images / (np.ones_like(ratio) if of.seeds == 1 else ratio)
    z = quantile(seed, image, of.seeds)
    centre = of.mean + z**2 / (2 * size)
    half = z * np.sqrt(binomial / size + z**2 / (4 * size**2))
    shrink = 1 + z**2 / size
    # rounding must not put the mean itself outside
    low = np.clip((centre - half) / shrink, 0, of.mean)
    return low, np.clip((centre + half) / shrink, of.mean, 1)


def of_gain(of: MeanSquares) -> tuple[ndarray, ndarray]:
    """Ends of the interval of differences of paired shares.

    Where none differs it has the width that one image more on either side would give, as Agresti
    and Min 2005 add some ("Simple improved confidence intervals for comparing matched proportions",
    Statistics in Medicine 24).
    """
    seed, image = variance_parts(of)
    image = np.maximum(image, 2 / (of.images + 2) ** 2)
    half = quantile(seed, image, of.seeds) * np.sqrt(seed + image)
    return np.maximum(-1, of.mean - half), np.minimum(1, of.mean + half)


def _matrix(hits: ndarray) -> ndarray:
    hits = np.asarray(hits)
    if hits.ndim != 2 or not hits.size:
        raise ValueError(f"hits of shape {hits.shape}: give (seeds, images), at least one of each")
    # booleans have no differences, which gains are
    return hits.astype(np.int8)


def _percent(mean: ndarray, ends: tuple[ndarray, ndarray]) -> Interval:
    return Interval(*(100 * float(value) for value in (mean, *ends)))


def accuracy_interval(hits: ndarray) -> Interval:
    """Share of hits bool (seeds, images), and its interval, in percent.

    Raises ValueError where there is no seed or no image.
    """
    found = mean_squares(_matrix(hits))
    return _percent(found.mean, of_accuracy(found))


def gain_interval(ours: ndarray, theirs: ndarray) -> Interval:
    """Points that hits `ours` bool (seeds, images) are above `theirs`, paired by seed and image.

    Raises ValueError where there is no seed or no image, or the shapes differ.
    """
    if np.shape(ours) != np.shape(theirs):
        raise ValueError(f"hits of shapes {np.shape(ours)} and {np.shape(theirs)}: pair them")
    found = mean_squares(_matrix(ours) - _matrix(theirs))
    return _percent(found.mean, of_gain(found))
