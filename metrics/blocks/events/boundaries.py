"""Boundaries of events found by the greedy rule of GEBD, of many raters and distances at once.

Shou, Lei, Wang, Ghadiyaram, Feiszli 2021, "Generic Event Boundary Detection: A Benchmark for Event
Segmentation", arXiv 2101.10511, section 4, as its eval.py has it: in the order in which a rater's
boundaries stand, each takes the nearest detection that is left, if it is near enough. That is
greedy: it may find fewer pairs than there are.
"""

import numpy as np
from numpy import ndarray

HELD = 2**20  # distances times thresholds that are compared at a time: some 30 MB


def greedy_hits(detections: list[ndarray], raters: list[ndarray], within: ndarray) -> ndarray:
    """How many of each rater's boundaries are found, int64 (thresholds, raters).

    detections: (k,) of the rater's video, and raters: (g,) boundaries, for each of the raters, both
    in seconds; within: how near they must be, (thresholds, raters).
    """
    found = np.zeros(within.shape, np.int64)
    many = np.array(list(map(len, detections)), np.int64)
    some = np.flatnonzero(many * np.array(list(map(len, raters)), np.int64))
    # rows of like length together, as they are filled up to the longest
    some = some[np.argsort(many[some], kind="stable")]
    start = 0
    while start < len(some):
        widths = many[some[start:]] * np.arange(1, len(some) - start + 1) * len(within)
        stop = start + max(1, int(np.searchsorted(widths, HELD, side="right")))
        block = some[start:stop]
        found[:, block] = _block(
            _padded([detections[one] for one in block], np.inf),
            _padded([raters[one] for one in block], np.nan),
            within[:, block],
        )
        start = stop
    return found


def _padded(rows: list[ndarray], filler: float) -> ndarray:
    """Rows of differing lengths as one array (rows, longest)."""
    counts = np.array(list(map(len, rows)))
    padded = np.full((len(rows), counts.max()), filler)
    padded[np.arange(counts.max()) < counts[:, None]] = np.concatenate(rows)
    return padded


def _block(detections: ndarray, raters: ndarray, within: ndarray) -> ndarray:
    """The same of arrays (p, k), inf-padded, (p, g), NaN-padded, and (thresholds, p)."""
    found = np.zeros(within.shape, np.int64)
    left = np.broadcast_to(detections, (*within.shape, detections.shape[1])).copy()
    for column in raters.T:
        # a detection that is used is moved to infinity
        gaps = np.abs(column[:, None] - left)
        nearest = gaps.argmin(2)[..., None]
        near = np.take_along_axis(gaps, nearest, 2)[..., 0] <= within
        found += near
        moved = np.where(near[..., None], np.inf, np.take_along_axis(left, nearest, 2))
        np.put_along_axis(left, nearest, moved, 2)
    return found
