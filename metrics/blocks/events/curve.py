"""Average precision of one class whose detections stand in order, in many weightings at once.

Interpolated: the precision at a recall is the highest at that recall or above. So only detections
that are hits matter as places of the curve, and a sample that is repeated changes nothing but the
counts: weights give the same as repetition.
"""

import numpy as np
from numpy import ndarray

from metrics.blocks.sums import adding, share

ELEVEN = range(11)  # recalls 0, 0.1, ..., 1
DENSE = 2**20  # detections times weightings that are laid out at a time: 4 MB of float32


class Curve:
    """Detections of one class from the highest score on, none of which is to be ignored.

    hits bool (n,); sample int (n,), which one each detection is of; true int (t,), which one each
    of what is to be found is of.
    """

    def __init__(self, hits: ndarray, sample: ndarray, true: ndarray) -> None:
        self.true, self.given = len(true), len(hits)
        self._holders, self._held = np.unique(true, return_counts=True)
        self._places = np.flatnonzero(hits)
        self._finders = sample[self._places]
        # behind the last hit a detection changes nothing
        upto = self._places[-1] + 1 if len(self._places) else 0
        self._upto = sample[:upto]

    @property
    def hits(self) -> int:
        """How many detections are hits."""
        return len(self._places)

    def plain(self) -> tuple[ndarray, ndarray]:
        """(recall, precision) at each hit, (hits,), not interpolated."""
        found = np.arange(1, self.hits + 1)
        return found / max(1, self.true), found / (self._places + 1)

    def area(self, weights: ndarray) -> ndarray:
        """The area below the curve: weights (samples, m) -> (m,), NaN where nothing is true."""
        gain, precision, true = self._weighted(weights)
        return share((gain * precision).sum(0), true)

    def eleven(self, weights: ndarray) -> ndarray:
        """The mean of the precision at recalls 0, 0.1, ..., 1; shapes as those of `area`."""
        gain, precision, true = self._weighted(weights)
        total, columns = np.zeros(weights.shape[1]), np.arange(weights.shape[1])
        if not self.hits:
            return share(total, np.sign(true))
        found = np.cumsum(gain, 0)
        for tenth in ELEVEN:
            # in whole numbers: 3 of 10 is not less than a recall of 0.3
            reached = 10 * found >= tenth * true
            total += np.where(reached[-1], precision[reached.argmax(0), columns], 0)
        return share(total, np.sign(true)) / len(ELEVEN)

    def _weighted(self, weights: ndarray) -> tuple[ndarray, ndarray, ndarray]:
        """(gain, interpolated precision) at each hit (hits, m), and what is true (m,)."""
        true = self._held @ weights[self._holders].astype(float)
        gain = weights[self._finders].astype(float)
        seen = np.cumsum(self._between(weights), 0, dtype=float)
        precision = share(np.cumsum(gain, 0), seen, empty=0)
        return gain, np.maximum.accumulate(precision[::-1])[::-1], true

    def _between(self, weights: ndarray) -> ndarray:
        """How many detections there are from behind one hit to the next one, (hits, m)."""
        if len(self._upto) * weights.shape[1] > DENSE or not self.hits:
            rows = np.searchsorted(self._places, np.arange(len(self._upto)))
            return adding(rows, self._upto, self.hits, len(weights)) @ weights
        # of few detections making the sparse matrix takes longer than all else
        return np.add.reduceat(weights[self._upto], np.append(0, self._places[:-1] + 1))
