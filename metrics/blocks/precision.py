"""Average precision of one class in many weightings of the samples at once.

A threshold is a score that occurs; samples of equal score are found together, so the order in which
they come does not matter. Precision can only be highest where a true sample has just been found, so
thresholds without one are skipped.
"""

import numpy as np
from numpy import ndarray

from metrics.blocks.sums import adding, share

ELEVEN = range(11)  # recalls 0, 0.1, ..., 1


class Ranked:
    """The samples of one class in order of their scores.

    scores float (n,), true bool (n,), at least one of them; no score is NaN.
    """

    def __init__(self, scores: ndarray, true: ndarray) -> None:
        # the thresholds, from the highest on; those without a true sample go with the next one
        thresholds = np.unique(scores[true])
        place = len(thresholds) - np.searchsorted(thresholds, scores, side="right")
        # samples below the last threshold are found by none
        seen = np.flatnonzero(place < len(thresholds))
        hits = np.flatnonzero(true)
        self._seen = adding(place[seen], seen, len(thresholds), len(scores))
        self._hits = adding(place[hits], hits, len(thresholds), len(scores))

    def area(self, weights: ndarray) -> ndarray:
        """The sum of precision times gain in recall over thresholds, without interpolation.

        weights (n, resamples) -> (resamples,), NaN where no true sample is left.
        """
        gain = self._hits @ weights
        precision, found = self._precision(weights, gain)
        return share((precision * gain).sum(0), found[-1])

    def eleven(self, weights: ndarray) -> ndarray:
        """The mean of the highest precision at recalls of 0, 0.1, ..., 1 or more.

        Shapes as those of `area`.
        """
        precision, found = self._precision(weights, self._hits @ weights)
        for row in range(len(precision) - 2, -1, -1):
            np.maximum(precision[row], precision[row + 1], out=precision[row])
        total = np.zeros(weights.shape[1], weights.dtype)
        columns = np.arange(weights.shape[1])
        for tenth in ELEVEN:
            # in whole numbers: 3 of 10 is not less than a recall of 0.3
            first = (10 * found >= tenth * found[-1]).argmax(0)
            total += precision[first, columns]
        return share(total, np.sign(found[-1])) / len(ELEVEN)

    def _precision(self, weights: ndarray, gain: ndarray) -> tuple[ndarray, ndarray]:
        """Precision, and true samples found, at each threshold (thresholds, resamples)."""
        found = _added(gain.copy())
        return share(found, _added(self._seen @ weights), empty=0), found


def _added(values: ndarray) -> ndarray:
    """Running sums over rows, in place: many times as fast as numpy's cumsum along that axis."""
    for row in range(1, len(values)):
        values[row] += values[row - 1]
    return values
