"""Means over classes of what is a ratio of sums over samples, as an IoU of pixels is."""

from collections.abc import Sequence

import numpy as np
from numpy import ndarray
from torch import Tensor

from metrics.blocks.bootstrap import bootstrap


def resampled_ratios(
    above: ndarray,
    below: ndarray,
    sample: ndarray,
    label: ndarray,
    group: Sequence[int | None],
    count: int,
) -> Tensor:
    """A headline in percent in `count` resamples of the samples, float64 (count,).

    above, below: float64 (k,), summed up by class. sample, label: int64 (k,), whose they are.
    group: of each of the n samples: those of one group are drawn together; None: alone. A class
    that is nowhere in a resample is no part of its mean; of one without any it is NaN.
    """
    own = [place if each is None else each for place, each in enumerate(group)]
    groups, member = np.unique(own, return_inverse=True)
    labels, place = np.unique(label, return_inverse=True)
    shape = len(labels), len(groups)
    cell = place * shape[1] + member[sample]
    sums = [np.bincount(cell, each, shape[0] * shape[1]).reshape(shape) for each in (above, below)]

    def measured(weights: ndarray) -> ndarray:
        parts, wholes = (each.astype(weights.dtype) @ weights for each in sums)
        there = wholes > 0
        shares = np.divide(parts, wholes, out=np.zeros_like(parts), where=there)
        classes = there.sum(0)
        values = 100 * shares.sum(0) / np.maximum(classes, 1)
        return np.where(classes > 0, values, np.nan)

    return bootstrap(len(groups), count, measured)
