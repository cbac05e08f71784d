"""Runs of pixels in which none of several maps changes: maps have few of them, a hundredth."""

import numpy as np
from numpy import ndarray


class MapRuns:
    """Finds them, in memory that is used again: new memory takes as long as what is done in it."""

    def __init__(self) -> None:
        self._pixels = np.empty((2, 0), bool)

    def runs(self, flat: list[ndarray]) -> tuple[ndarray, ndarray]:
        """(start, length) int64 (k,) each, of several maps (pixels,)."""
        if not len(flat[0]):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        steps = len(flat[0]) - 1
        if self._pixels.shape[1] != steps:
            self._pixels = np.empty((2, steps), bool)
        changes, more = self._pixels
        np.not_equal(flat[0][1:], flat[0][:-1], out=changes)
        for each in flat[1:]:
            changes |= np.not_equal(each[1:], each[:-1], out=more)
        starts = np.concatenate([[0], np.flatnonzero(changes) + 1])
        return starts, np.diff(starts, append=len(flat[0]))
