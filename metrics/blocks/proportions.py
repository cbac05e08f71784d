"""95 % intervals of shares of samples: what other samples of the same kind could give.

Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference". A mean of
shares has the interval of as many samples as would tell as much: Franco, Little, Louis, Slud 2019,
"Comparative Study of Confidence Intervals for Proportions in Complex Sample Surveys".
"""

from math import sqrt

from numpy import ndarray

MORE = 2  # samples of each class, as right as the mean


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
