"""Which detections find which annotated objects: the rule of COCOeval.evaluateImg, to the letter.

Lin et al. 2014, "Microsoft COCO: Common Objects in Context"; cocodataset/cocoapi, cocoeval.py.
In each image and class the detections choose one after the other, the highest score first. One
takes the free annotated object of the highest overlap that is not below the threshold, of equal
ones the last; ignored ones only where there is no other, and a crowd any number of times.

All pairs of image and class choose at once, each the k-th of its detections that overlaps with
anything. Overlaps below the lowest threshold decide nothing and are left out before.
"""

from typing import NamedTuple

import numpy as np
from numpy import ndarray

# an overlap of 1 that was computed as a little less still counts at a threshold of 1
ALMOST = 1 - 1e-10


class Edges(NamedTuple):
    """Overlaps that could be a match: detection, truth int64 (e,), overlap float64 (e,).

    Sorted by detection.
    """

    detection: ndarray
    truth: ndarray
    overlap: ndarray


class Matches(NamedTuple):
    """found, ignored: bool (thresholds, n): a detection found an object; it found an ignored one.

    truth: int32 (thresholds, n), which it found, -1 for none.
    """

    found: ndarray
    ignored: ndarray
    truth: ndarray


def reached(thresholds: ndarray) -> ndarray:
    """The overlap that each threshold asks for."""
    return np.minimum(thresholds, ALMOST)


def match(
    edges: Edges, pair: ndarray, crowd: ndarray, ignored: ndarray, thresholds: ndarray
) -> Matches:
    """What n detections find at each threshold; they are sorted by pair, then by score.

    pair (n,). crowd, ignored: bool of the annotated objects. thresholds (t,).
    """
    found = _Choosing(len(pair), crowd, ignored, thresholds)
    # the best first: not ignored, the highest overlap, of equal ones the last
    best = (-edges.truth, -edges.overlap, ignored[edges.truth], edges.detection)
    order = np.lexsort(best)
    truth, overlap = edges.truth[order], edges.overlap[order]
    rows, first, count = np.unique(edges.detection, return_index=True, return_counts=True)
    turn = _turns(pair[rows])
    by_turn = np.argsort(turn, kind="stable")
    for some in np.split(by_turn, np.flatnonzero(np.diff(turn[by_turn])) + 1):
        for choice in range(count[some].max(initial=0)):
            still = some[count[some] > choice]
            edge = first[still] + choice
            found.choose(rows[still], truth[edge], overlap[edge])
    return Matches(found.truth.T >= 0, found.ignored.T, found.truth.T)


def _turns(pair: ndarray) -> ndarray:
    """The how manieth of its pair each is: pair (n,) comes in order."""
    return np.arange(len(pair)) - np.searchsorted(pair, pair, side="left")


class _Choosing:
    """What is taken so far, at each threshold."""

    def __init__(
        self, detections: int, crowd: ndarray, ignored: ndarray, thresholds: ndarray
    ) -> None:
        self.truth = np.full((detections, len(thresholds)), -1, np.int32)
        self.ignored = np.zeros(self.truth.shape, bool)
        self._free = np.ones((len(crowd), len(thresholds)), bool)
        self._crowd, self._of_none = crowd[:, None], ignored[:, None]
        self._reached = reached(thresholds)

    def choose(self, rows: ndarray, truth: ndarray, overlap: ndarray) -> None:
        """Detections of different pairs take one object each, where they have none and may."""
        may = self._free[truth] & (overlap[:, None] >= self._reached)
        may &= self.truth[rows] < 0
        self.truth[rows] = np.where(may, truth[:, None], self.truth[rows])
        self.ignored[rows] |= may & self._of_none[truth]
        self._free[truth] &= ~may | self._crowd[truth]
