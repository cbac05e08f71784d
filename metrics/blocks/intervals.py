"""Intervals of a metric over the samples it was computed from."""

from math import sqrt


def wilson(hits: int, samples: int, z: float = 1.959964) -> tuple[float, float]:
    """Bounds of a proportion; z is the normal quantile, here for 95 %.

    Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
    """
    p, shrink = hits / samples, 1 + z * z / samples
    centre = p + z * z / (2 * samples)
    half = z * sqrt(p * (1 - p) / samples + z * z / (4 * samples**2))
    return max(0.0, (centre - half) / shrink), min(1.0, (centre + half) / shrink)
