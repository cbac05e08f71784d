"""Segments of time found by the greedy rule of ActivityNet, at several overlaps at once.

Caba Heilbron, Escorcia, Ghanem, Niebles 2015, "ActivityNet: A Large-Scale Video Benchmark for Human
Activity Understanding", as its eval_detection.py has it: from the highest score on a segment takes
that true segment of its video and class which it overlaps most, of those that are free; it is false
where no free one is left that it overlaps enough. Two segments of no length overlap by 0 here,
where that script divides 0 by 0 and takes the one for the other wherever they are.
"""

from collections import defaultdict

import numpy as np
from numpy import ndarray

from metrics.blocks.detection.voc import pairs


def time_overlaps(segments: ndarray, others: ndarray) -> ndarray:
    """Intersection over union of segments (n, 2) start, end with as many others, float64 (n,)."""
    low = np.maximum(segments[:, 0], others[:, 0])
    both = np.maximum(np.minimum(segments[:, 1], others[:, 1]) - low, 0)
    # in the order of the reference's sum: the last digit decides at exactly one half
    whole = (others[:, 1] - others[:, 0]) + (segments[:, 1] - segments[:, 0]) - both
    return np.divide(both, whole, out=np.zeros_like(both), where=both > 0)


def greedy(
    keys: ndarray,
    segments: ndarray,
    true_keys: ndarray,
    true_segments: ndarray,
    order: ndarray,
    thresholds: ndarray,
) -> ndarray:
    """Which segments are hits at each of the thresholds, bool (thresholds, n).

    Keys tell video and class of each segment (n, 2) and true one (m, 2). order: those that are
    predicted, from the highest score on. thresholds: ascending overlaps, at most 60.
    """
    near = _candidates(keys, segments, true_keys, true_segments, thresholds)
    taken: dict[int, int] = defaultdict(int)
    found = np.zeros(len(keys), np.int64)
    may = np.zeros(len(keys), bool)
    may[list(near)] = True
    for one in order[may[order]].tolist():
        hits = 0
        # a bit for each threshold: which ones are passed, at which it is taken already
        for true, passed in near[one]:
            new = passed & ~hits & ~taken[true]
            taken[true] |= new
            hits |= new
        found[one] = hits
    return (found & 2 ** np.arange(len(thresholds))[:, None]) > 0


def _candidates(
    keys: ndarray,
    segments: ndarray,
    true_keys: ndarray,
    true_segments: ndarray,
    thresholds: ndarray,
) -> dict[int, list[tuple[int, int]]]:
    """Of each segment that overlaps a true one enough: (true segment, bits of the thresholds that
    it passes), the most overlapped first.
    """
    near: dict[int, list[tuple[int, int]]] = {}
    for given, true, begins in pairs(keys, true_keys):
        found = time_overlaps(segments[given], true_segments[true])
        bits = 2 ** np.searchsorted(thresholds, found, side="right") - 1
        enough = found >= thresholds[0]
        for owner, *each in np.stack([given, true, bits], 1)[enough].tolist():
            near.setdefault(owner, []).append(tuple(each))
        counts = np.add.reduceat(enough.astype(int), begins)
        for place in np.flatnonzero(counts > 1).tolist():
            rows = slice(*np.append(begins, len(found))[place : place + 2])
            # the reference's own call: of equal overlaps it takes what this sort puts last
            order = found[rows].argsort()[::-1][: counts[place]]
            chosen = np.stack([true[rows], bits[rows]], 1)[order].tolist()
            near[int(given[rows.start])] = list(map(tuple, chosen))
    return near
