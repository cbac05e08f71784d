"""Sums over some samples, in many weightings of them at once."""

import numpy as np
from numpy import ndarray
from scipy.sparse import csr_array


def adding(rows: ndarray, columns: ndarray, height: int, width: int) -> csr_array:
    """The matrix whose product with weights (width, m) adds those of sample columns[i] to rows[i].

    The product is (height, m). Sums in float32 are exact below 2^24 samples.
    """
    ones = np.ones(len(rows), np.float32)
    return csr_array((ones, (rows, columns)), (height, width))


def share(parts: ndarray, wholes: ndarray, empty: float = np.nan) -> ndarray:
    """parts / wholes, `empty` where a whole is 0."""
    return np.where(wholes > 0, parts / np.maximum(wholes, 1), wholes.dtype.type(empty))


def mean_over_classes(shares: ndarray) -> ndarray:
    """The mean of shares (classes, m) that are not NaN, in percent (m,)."""
    counted = (~np.isnan(shares)).sum(0)
    return 100 * share(np.nan_to_num(shares).sum(0, dtype=float), counted.astype(float))
