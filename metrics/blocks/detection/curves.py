"""Precision over recall as COCO draws it, and means of it: COCOeval.accumulate, to the letter.

The precision at each of 101 recalls is the highest at that recall or more (the envelope), 0 where
the recall is never reached. Weighted by images, for the bootstrap, all resamples go together.
"""

from typing import NamedTuple

import numpy as np
from numpy import ndarray

RECALLS = np.linspace(0.0, 1.0, 101)
TINY = np.spacing(1)
EVERY = 2**62


class Counted(NamedTuple):
    """One class and area range: its detections, the highest score first, at each threshold.

    true, counted bool (thresholds, d): right; right or wrong, not ignored. image (d,), rank (d,)
    in image and class. truth_image (g,): of the annotated objects that are to be found.
    """

    true: ndarray
    counted: ndarray
    image: ndarray
    rank: ndarray
    truth_image: ndarray


def envelope(true: ndarray, counted: ndarray, truths: int) -> ndarray:
    """The precision at each of RECALLS, float64 (thresholds, 101).

    true, counted: bool (thresholds, d) of detections, the highest score first: right; right or
    wrong, not ignored. truths: how many there are to find, above 0.
    """
    hits = true.cumsum(1)
    precision = hits / (counted.cumsum(1) + TINY)
    highest = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    # beyond the last recall there is none
    padded = np.concatenate([highest, np.zeros((len(true), 1))], 1)
    recall = hits / truths
    places = [row.searchsorted(RECALLS, side="left") for row in recall]
    return np.take_along_axis(padded, np.stack(places), 1)


def weighted_precision(found: Counted, weights: ndarray) -> ndarray:
    """The mean over RECALLS and thresholds of a class's precision, of m weightings: float64 (m,).

    weights: int32 (m, images), how often each image is there. NaN where no object is.
    """
    truths, own = weights[:, found.truth_image].sum(1), weights[:, found.image]
    total = np.zeros(len(weights))
    seen, last = None, None
    for hit, counted in zip(found.true, found.counted, strict=True):
        if last is None or not np.array_equal(counted, last):
            seen, last = (own * counted).cumsum(1, dtype=np.int32), counted
        # only where an object was found can the envelope begin, or the recall rise
        total += _area(own[:, hit].cumsum(1, dtype=np.int32), seen[:, hit], truths)
    return np.where(truths > 0, total / len(found.true), np.nan)


def weighted_recall(found: Counted, weights: ndarray, cap: int | None) -> ndarray:
    """The mean over thresholds of a class's recall, of m weightings: float64 (m,); as above."""
    truths = weights[:, found.truth_image].sum(1)
    share = (found.true & (found.rank < (cap or EVERY))).mean(0)
    hits = weights @ np.bincount(found.image, share, weights.shape[1])
    return np.where(truths > 0, hits / np.maximum(truths, 1), np.nan)


def _area(hits: ndarray, seen: ndarray, truths: ndarray) -> ndarray:
    """Mean precision over RECALLS, (m,): of hits and seen (m, h) at each object that was found."""
    if not hits.shape[1]:
        return np.zeros(len(hits))
    precision = hits / np.maximum(seen, 1)
    highest = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    # how many of the recalls have been reached, the 0 among them; some are a little above k / 100
    truths = np.maximum(truths, 1)[:, None]
    place = 100 * hits // truths
    reached = place + (RECALLS[place] <= hits / truths)
    gained = np.diff(reached, axis=1, prepend=0)
    return (highest * gained).sum(1) / len(RECALLS)
