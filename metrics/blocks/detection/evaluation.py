"""Detections of all classes ranked, matched and counted by a rule: what the numbers are made of."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

from metrics.blocks.detection.curves import EVERY, RECALLS, Counted, envelope
from metrics.blocks.detection.matching import Edges, match, reached
from metrics.blocks.detection.objects import Objects, blocks_of, rank_within
from metrics.blocks.detection.seen import Both

THRESHOLDS = np.linspace(0.5, 0.95, 10)
# px of the smallest and of the largest object
AREAS = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}


class Rule(NamedTuple):
    """What differs from one average precision to the next.

    thresholds (t,), of overlaps. areas: bounds in px by name, "all" the first. caps: how many
    detections count of an image and class, the last one for all but recalls; None: all.
    classless: objects have no classes. federated: a class counts only in images where it is
    annotated or known to be absent. per_image, per_class: of the detections of an image, or of a
    class in all images, only so many are looked at. pooled: one ranking over all classes.
    """

    thresholds: ndarray = THRESHOLDS
    areas: Mapping[str, tuple[float, float]] = AREAS
    caps: Sequence[int | None] = (1, 10, 100)
    classless: bool = False
    federated: bool = False
    per_image: int | None = None
    per_class: int | None = None
    pooled: bool = False


class Found(NamedTuple):
    """Of the classes that occur, labels (k,): shares, NaN where there is nothing to find.

    precision (k, areas, thresholds): mean over RECALLS. recall (k, areas, caps, thresholds).
    curve (k, thresholds, 101): precision at RECALLS of the first area. truths, detections (k,).
    counts: of the first area, k of them. frequency (k,): 0 rare, 1 common, 2 frequent, 3 unknown.
    """

    labels: ndarray
    precision: ndarray
    recall: ndarray
    curve: ndarray
    truths: ndarray
    detections: ndarray
    counts: list[Counted]
    frequency: ndarray


class Ranked(NamedTuple):
    """What is to be matched: detections by pair and score, annotated objects by pair.

    pair, rank int64 (n,), forgiven bool (n,): a detection that finds nothing is no error, for its
    class is not annotated exhaustively in its image. true_pair int64 (g,).
    """

    detections: Objects
    truths: Objects
    pair: ndarray
    rank: ndarray
    forgiven: ndarray
    true_pair: ndarray


def evaluate(both: Both, shape: Any, rule: Rule) -> Found:
    """All classes and area ranges; shape: of shapes.py."""
    ranked = _ranked(both, rule)
    edges = _edges(ranked, shape, rule.thresholds)
    groups = _Groups(ranked, both.frequency, rule)
    precision, recall, curve, counts = [], [], [], []
    for area in rule.areas.values():
        found = list(groups.counted(_counting(ranked, edges, rule.thresholds, area), area))
        drawn = np.stack([_curve(each) for each in found])
        precision.append(drawn.mean(2))
        recall.append(np.stack([_recalls(each, rule.caps) for each in found]))
        curve, counts = curve or [drawn], counts or found
    shares = (np.stack(each, 1) for each in (precision, recall))
    frequency = frequency_of(groups.labels, both.frequency)
    return Found(groups.labels, *shares, curve[0], *groups.sizes(), counts, frequency)


def _ranked(both: Both, rule: Rule) -> Ranked:
    """In the order in which COCOeval has them: of equal scores the first in the data."""
    found, true = both.detections, both.truths
    named = (found.label, true.label, both.negative[:, 1], both.not_exhaustive[:, 1])
    classes = 1 + max(int(labels.max(initial=0)) for labels in named)
    kept = np.ones(len(found.image), bool)
    for group, most in ((found.image, rule.per_image), (found.label, rule.per_class)):
        if most is not None:
            order = np.lexsort((-found.score, group))
            kept[order] &= rank_within(group[order]) < most
    pair, true_pair = (side.image * classes + side.label for side in (found, true))
    absent, partial = (
        each[:, 0] * classes + each[:, 1] for each in (both.negative, both.not_exhaustive)
    )
    federated = rule.federated and both.federated
    if federated:
        # LVIS has no crowds
        true = true._replace(crowd=np.zeros_like(true.crowd))
        kept &= np.isin(pair, np.concatenate([true_pair, absent]))
    forgiven = np.isin(pair, partial) & federated
    if rule.classless:
        pair, true_pair = found.image, true.image
    # without classes COCOeval has the objects of the first class before those of the second
    order = np.lexsort((found.label, -found.score, pair))
    order = order[kept[order]]
    rank = rank_within(pair[order])
    within = rank < (rule.caps[-1] or EVERY)
    order, true_order = order[within], np.lexsort((true.label, true_pair))
    sides = found.taken(order), true.taken(true_order)
    return Ranked(*sides, pair[order], rank[within], forgiven[order], true_pair[true_order])


def _edges(ranked: Ranked, shape: Any, thresholds: ndarray) -> Edges:
    """The overlaps that reach the lowest threshold."""
    least = reached(thresholds).min()
    found = [(np.zeros(0, int), np.zeros(0, int), np.zeros(0))]
    for blocks in blocks_of(ranked.pair, ranked.true_pair).parts(shape.held):
        overlaps = shape.overlaps(ranked.detections, ranked.truths, blocks)
        kept = overlaps >= least
        rows, columns = blocks.combinations()
        found.append((rows[kept], columns[kept], overlaps[kept]))
    return Edges(*map(np.concatenate, zip(*found, strict=True)))


def _outside(area: ndarray, bounds: tuple[float, float]) -> ndarray:
    return (area < bounds[0]) | (area > bounds[1])


def _counting(
    ranked: Ranked, edges: Edges, thresholds: ndarray, bounds: tuple[float, float]
) -> tuple[ndarray, ndarray]:
    """(true, counted), bool (thresholds, n): right; right or wrong, not ignored."""
    true = ranked.truths
    ignored = true.crowd | true.ignore | _outside(true.area, bounds)
    found = match(edges, ranked.pair, true.crowd, ignored, thresholds)
    excused = ranked.forgiven | _outside(ranked.detections.area, bounds)
    counted = ~(found.ignored | (~found.found & excused))
    return found.found & counted, counted


class _Groups:
    """Which objects are ranked together: those of a class, of a pool of classes, or all."""

    def __init__(self, ranked: Ranked, frequency: ndarray, rule: Rule) -> None:
        sides = ranked.detections, ranked.truths
        self._ranked = ranked
        labels = [np.zeros_like(side.label) if rule.classless else side.label for side in sides]
        rows = [np.arange(len(each)) for each in labels]
        if rule.pooled:
            # all in pool 0, and once more in that of how frequent their class is
            labels = [self._pools(each, frequency) for each in labels]
            rows = [np.tile(each, 2) for each in rows]
        self.labels = np.unique(np.concatenate(labels))
        if not len(self.labels):
            self.labels = np.zeros(1, int)
        score = -ranked.detections.score[rows[0]]
        orders = np.lexsort((score, labels[0])), np.argsort(labels[1], kind="stable")
        self._rows, self._true_rows = (
            np.split(row[order], np.searchsorted(label[order], self.labels[1:]))
            for row, label, order in zip(rows, labels, orders, strict=True)
        )

    @staticmethod
    def _pools(labels: ndarray, frequency: ndarray) -> ndarray:
        return np.concatenate([0 * labels, 1 + frequency_of(labels, frequency)])

    def sizes(self) -> tuple[ndarray, ndarray]:
        """How many annotated objects that are no crowd, and detections, each group has."""
        crowd = self._ranked.truths.crowd
        truths = [int((~crowd[rows]).sum()) for rows in self._true_rows]
        return np.array(truths), np.array([len(rows) for rows in self._rows])

    def counted(
        self, counting: tuple[ndarray, ndarray], bounds: tuple[float, float]
    ) -> Iterator[Counted]:
        """Group by group."""
        found, true = self._ranked.detections, self._ranked.truths
        wanted = ~(true.crowd | true.ignore | _outside(true.area, bounds))
        for rows, true_rows in zip(self._rows, self._true_rows, strict=True):
            hits, counted = (each[:, rows] for each in counting)
            rank = self._ranked.rank[rows]
            there = true.image[true_rows[wanted[true_rows]]]
            yield Counted(hits, counted, found.image[rows], rank, there)


def frequency_of(labels: ndarray, frequency: ndarray) -> ndarray:
    """0 rare, 1 common, 2 frequent; 3 where it is not known."""
    return np.append(frequency, 3)[np.minimum(labels, len(frequency))].astype(int)


def _curve(found: Counted) -> ndarray:
    """The precision at RECALLS, (thresholds, 101), NaN where there is nothing to find."""
    if not len(found.truth_image):
        return np.full((len(found.true), len(RECALLS)), np.nan)
    return envelope(found.true, found.counted, len(found.truth_image))


def _recalls(found: Counted, caps: Sequence[int | None]) -> ndarray:
    """The share of the annotated objects that is found, (caps, thresholds); NaN likewise."""
    truths = len(found.truth_image) or np.nan
    hits = [found.true[:, found.rank < (cap or EVERY)].sum(1) for cap in caps]
    return np.stack(hits) / truths
