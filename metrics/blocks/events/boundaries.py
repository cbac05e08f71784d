"""Boundaries of events found by the greedy rule of GEBD, of many raters and distances at once.

Shou, Lei, Wang, Ghadiyaram, Feiszli 2021, "Generic Event Boundary Detection: A Benchmark for Event
Segmentation", arXiv 2101.10511, section 4, as its eval.py has it: in the order in which a rater's
boundaries stand, each takes the nearest detection that is left, if it is near enough. That is
greedy: it may find fewer pairs than there are.
"""

from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from metrics.blocks.events.kept import Rows

HELD = 2**20  # distances times thresholds that are compared at a time: some 30 MB


def counted(columns: dict[str, Rows], distances: Sequence[float]) -> ndarray:
    """(found, given, true) at each distance of each video, int64 (3, distances, videos).

    columns: boundaries and duration in seconds; rater_boundaries, NaN where there is none, of all
    raters of a video one after the other; raters, how many there are. distances: shares of the
    duration. Detections outside a video are left out.
    """
    duration = columns["duration"].values.astype(float)
    given, of = columns["boundaries"].values.astype(float), columns["boundaries"].of
    inside = (given >= 0) & (given <= duration[of])
    many = np.bincount(of[inside], minlength=len(duration))
    detections = np.split(given[inside], np.cumsum(many)[:-1])

    raters = columns["raters"].values
    video = np.repeat(np.arange(len(raters)), raters)
    most = np.repeat(columns["rater_boundaries"].counts // raters, raters)
    times = columns["rater_boundaries"].values.astype(float)
    there = ~np.isnan(times)
    true = np.bincount(np.repeat(np.arange(len(video)), most)[there], minlength=len(video))
    boundaries = np.split(times[there], np.cumsum(true)[:-1])

    within = np.outer(distances, duration[video])
    found = greedy_hits([detections[one] for one in video], boundaries, within)
    best = _best_raters(found, many[video], true, raters)
    # a video without any detection misses what its first rater has
    best = np.where(many > 0, best, (np.cumsum(raters) - raters)[None])
    counts = [np.take_along_axis(found, best, 1), np.broadcast_to(many, best.shape), true[best]]
    return np.stack(counts)


def _best_raters(found: ndarray, given: ndarray, true: ndarray, raters: ndarray) -> ndarray:
    """The rater of the highest F1 of each video (distances, videos), the first of equal ones.

    found (distances, all raters), given and true (all raters,), raters (videos,). In the
    reference's own terms: that of equal F1 which comes out higher in its last digit wins there,
    too.
    """
    recall = np.where(true > 0, found / np.maximum(true, 1), 1)
    precision = found / np.maximum(given, 1)
    both = recall + precision
    f1 = np.where(both > 0, 2 * recall * precision / np.where(both > 0, both, 1), 0)
    first = np.cumsum(raters) - raters
    room = np.full((len(found), len(raters), raters.max()), -1.0)
    room[:, np.arange(raters.max()) < raters[:, None]] = f1
    return first + room.argmax(2)


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
