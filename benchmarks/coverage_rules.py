"""The rules for intervals whose coverage is compared (benchmarks/coverage.py): ours and others."""

import numpy as np
from numpy import ndarray
from scipy import stats

from engine.measure.intervals import MeanSquares, of_accuracy, of_gain
from metrics.blocks.proportions import wilson


def over_seeds(of: MeanSquares) -> tuple[ndarray, ndarray]:
    """Student's interval of the seeds' means: test images are as if there were no others."""
    half = np.sqrt(of.seed / (of.seeds * of.images)) * stats.t.ppf(0.975, of.seeds - 1)
    return of.mean - half, of.mean + half


def over_images(of: MeanSquares) -> tuple[ndarray, ndarray]:
    """Wilson's interval of the mean: seeds are as if there were no others."""
    ends = [wilson(round(mean * of.images), of.images) for mean in of.mean]
    return tuple(np.transpose(ends))


def satterthwaite(of: MeanSquares) -> tuple[ndarray, ndarray]:
    """Student's interval with Satterthwaite's (1946) degrees of freedom."""
    seed = np.maximum(0, of.seed - of.rest)
    total = np.maximum(seed + of.image, 1e-12)
    free = total**2 / (seed**2 / (of.seeds - 1) + of.image**2 / (of.images - 1) + 1e-30)
    half = np.sqrt(total / (of.seeds * of.images)) * stats.t.ppf(0.975, np.maximum(1, free))
    return of.mean - half, of.mean + half


RULES = {
    "accuracy": {
        "this rule": of_accuracy,
        "Satterthwaite": satterthwaite,
        "over seeds": over_seeds,
        "over images": over_images,
    },
    "gain": {"this rule": of_gain, "Satterthwaite": satterthwaite, "over seeds": over_seeds},
}
