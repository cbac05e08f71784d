"""Confidence intervals of means over few seeds, in the units of the values."""

from collections.abc import Sequence

import numpy as np
from scipy import stats


def over_seeds(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """(mean, low, high): Student's t interval; a single value has an infinitely wide one."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return mean, -float("inf"), float("inf")
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return mean, mean - half, mean + half
