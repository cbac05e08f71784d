"""Detections of one class found by the rule of PASCAL VOC, in all images and classes at once.

Everingham, Van Gool, Williams, Winn, Zisserman 2010, "The Pascal Visual Object Classes (VOC)
Challenge", section 4.2.2, as VOCdevkit's VOCevaldet.m has it: a detection belongs to the true box
of its image and class that it overlaps most, the first of equal ones. Of the detections that belong
to one box and overlap it enough, that of the highest score is a hit, the others are false; those
that belong to a box to be ignored count for nothing. So no detection waits for another one, other
than with rules where a box that is taken is passed over.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy import ndarray

HELD = 2**18  # pairs of a detection and a true box that are compared at a time: 30 MB


class Matches(NamedTuple):
    """Of each detection, bool (n,): whether it is a hit, and whether it counts at all."""

    hit: ndarray
    counted: ndarray


def pairs(given: ndarray, true: ndarray) -> Iterator[tuple[ndarray, ndarray, ndarray]]:
    """All pairs of entries with the same key: given (n,) and true (m,) whole numbers.

    Blocks of (index into given, index into true, place at which each of the given begins), the
    pairs of one of the given together and in the order of `true`.
    """
    order = np.argsort(true, kind="stable")
    keys = true[order]
    first = np.searchsorted(keys, given, side="left")
    count = np.searchsorted(keys, given, side="right") - first
    some = np.flatnonzero(count)
    ends = np.cumsum(count[some])
    start = 0
    while start < len(some):
        before = ends[start] - count[some[start]]
        stop = max(start + 1, int(np.searchsorted(ends, before + HELD, side="right")))
        chosen = some[start:stop]
        begins = ends[start:stop] - count[chosen] - before
        within = np.arange(ends[stop - 1] - before) - np.repeat(begins, count[chosen])
        yield (
            np.repeat(chosen, count[chosen]),
            order[np.repeat(first[chosen], count[chosen]) + within],
            begins,
        )
        start = stop


def overlaps(boxes: ndarray, others: ndarray, more: float) -> ndarray:
    """Intersection over union of boxes (n, 4) x1 y1 x2 y2 with as many others, float64 (n,).

    more: 1 where x2 and y2 are the last pixel of the box, 0 where they are its edge.
    """
    low = np.maximum(boxes[:, :2], others[:, :2])
    sides = np.minimum(boxes[:, 2:], others[:, 2:]) - low + more
    both = np.maximum(sides, 0).prod(1)
    areas = [(each[:, 2:] - each[:, :2] + more).prod(1) for each in (boxes, others)]
    # as both references sum it: the last digit decides at an overlap of exactly one half
    whole = areas[0] + areas[1] - both
    return np.divide(both, whole, out=np.zeros_like(both), where=both > 0)


def best_overlaps(
    keys: ndarray, boxes: ndarray, true_keys: ndarray, true_boxes: ndarray, more: float
) -> tuple[ndarray, ndarray]:
    """(true box that each detection overlaps most, int64 (n,); by how much, float64 (n,)).

    Keys tell image and class of each box. 0 and 0 where none overlaps.
    """
    best, most = np.zeros(len(keys), np.int64), np.zeros(len(keys))
    for given, true, begins in pairs(keys, true_keys):
        found = overlaps(boxes[given], true_boxes[true], more)
        highest = np.maximum.reduceat(found, begins)
        owners = given[begins]
        counts = np.diff(begins, append=len(found))
        # the first of equal ones: the last write counts, so they are written backwards
        at = np.flatnonzero(found == np.repeat(highest, counts))[::-1]
        best[given[at]] = true[at]
        most[owners] = highest
    return best, most


def matched(best: ndarray, enough: ndarray, order: ndarray, ignore: ndarray) -> Matches:
    """Which detections are hits, and which count.

    best: the true box of each detection (n,). enough: whether it overlaps it so much, bool (n,).
    order: detections from the highest score on. ignore: true boxes that are, bool (m,).
    """
    hit, counted = np.zeros(len(best), bool), np.ones(len(best), bool)
    sure = order[enough[order]]
    if len(sure):
        ignored = ignore[best[sure]]
        counted[sure[ignored]] = False
        sure = sure[~ignored]
        _, first = np.unique(best[sure], return_index=True)
        hit[sure[first]] = True
    return Matches(hit, counted)
