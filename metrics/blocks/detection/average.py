"""What metrics of detection inherit: objects are taken in, ranked, matched and averaged.

A metric says what is compared (a shape of shapes.py) and by which rule (Rule of evaluation.py):

    class BoundaryAP(AveragePrecision):
        def __init__(self, resamples: Resamples = RESAMPLES) -> None:
            super().__init__(Outlines(), Rule(), resamples)

Crowds, ties, area ranges and caps of detections are COCOeval's whatever is compared: matching.py,
curves.py.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy import ndarray
from torch import Tensor

from metrics.blocks.bootstrap import HELD, bootstrap, percentiles
from metrics.blocks.detection.curves import RECALLS, weighted_precision, weighted_recall
from metrics.blocks.detection.evaluation import Found, Rule, evaluate
from metrics.blocks.detection.seen import FLAGS, Both, SeenObjects
from metrics.blocks.metric import Batch, Reads
from metrics.blocks.picture import Lines, Series

# of the bootstrap over images: so many cost no more than the number itself
RESAMPLES = 100
FREQUENCIES = ("rare", "common", "frequent")
NOTHING = -1.0  # what COCO prints where there is nothing to find


class AveragePrecision:
    """Mean over classes and thresholds of the average precision, in percent.

    It gives `ap`, `ap50` and `ap75` of single thresholds, `ap_small` and so on of area ranges, and
    recalls: `ar10` with the 10 best detections of each image and class. -1 where there is nothing
    to find. shape: of shapes.py. rule: of evaluation.py. resamples: of the bootstrap, 0: none.
    """

    headline: str = "ap"
    higher: bool = True
    unit: str = "%"
    files: ClassVar[str] = "coco"
    # of boxes; those of another shape are in its place
    reads: Reads = Reads(
        ("boxes", "box_label", "box_score"), ("boxes", "box_label"), (*FLAGS, "group")
    )

    def __init__(self, shape: Any, rule: Rule, resamples: int = RESAMPLES) -> None:
        self.shape, self.rule, self.resamples = shape, rule, resamples
        self._seen = SeenObjects(shape, self.reads.more)
        self._kept: tuple[Both, Found] | None = None
        given = (shape.column, "box_label", "box_score")
        self.reads = Reads(given, (shape.column, "box_label", *shape.needs), self.reads.more)

    def update(self, predictions: Batch, targets: Batch) -> None:
        """Take in objects of n images, rows of metrics/blocks/detection/seen.py."""
        self._kept = None
        self._seen.add(predictions, targets)

    def merge(self, other: "AveragePrecision") -> None:
        """Add the images that another one has seen, after the own."""
        self._kept = None
        self._seen.merge(other._seen)

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_kept": None}

    def compute(self) -> dict[str, float]:
        """The numbers in percent, "samples", "classes" that count, "truths" and "detections"."""
        both, found = self._found()
        numbers = self.numbers(found)
        head = {self.headline: numbers.pop(self.headline)}
        resampled = self.resampled()
        if resampled is not None and not resampled.isnan().all():
            head |= percentiles(self.headline, resampled)
        classes = 1 if self.rule.classless else len(np.unique(both.truths.label))
        counts = {"samples": both.images, "classes": classes}
        objects = {"truths": len(both.truths.image), "detections": len(both.detections.image)}
        return head | numbers | counts | objects

    def numbers(self, found: Found) -> dict[str, float]:
        """Whatever is told of what was found, in percent."""
        return self.precisions(found) | self.frequencies(found) | self.recalls(found)

    def precisions(self, found: Found) -> dict[str, float]:
        """`ap`, `ap50`, `ap75` and those of the area ranges."""
        areas = list(self.rule.areas)
        numbers = {"ap": percent(found.precision[:, 0])}
        for wanted in (50, 75):
            place = np.isclose(100 * self.rule.thresholds, wanted)
            if place.any():
                numbers[f"ap{wanted}"] = percent(found.precision[:, 0, place])
        for place, area in enumerate(areas[1:], 1):
            numbers[f"ap_{area}"] = percent(found.precision[:, place])
        return numbers

    def recalls(self, found: Found) -> dict[str, float]:
        """`ar<cap>` of each cap, and of the last one those of the area ranges."""
        numbers = {}
        for place, cap in enumerate(self.rule.caps):
            name = f"ar{cap or self.rule.per_image or ''}"
            numbers[name] = percent(found.recall[:, 0, place])
        for place, area in enumerate(list(self.rule.areas)[1:], 1):
            numbers[f"ar_{area}"] = percent(found.recall[:, place, -1])
        return numbers

    def frequencies(self, found: Found) -> dict[str, float]:
        """`ap_rare`, `ap_common`, `ap_frequent` of classes, where it is known which are."""
        names = FREQUENCIES if (found.frequency < len(FREQUENCIES)).any() else ()
        return {
            f"ap_{name}": percent(found.precision[found.frequency == place, 0])
            for place, name in enumerate(names)
        }

    def each(self) -> None:
        """None: the mean is one over classes."""

    def rows(self) -> list[dict[str, float]]:
        """{"class", "truths", "detections", "ap", "ap50", "ap_small" and so on of the area ranges}
        of every class that occurs, -1 where it has nothing to find.
        """
        found = self._found()[1]
        names = ["ap", *(f"ap_{area}" for area in list(self.rule.areas)[1:])]
        precisions = dict(zip(names, found.precision.mean(2).T, strict=True))
        whole = {"ap": precisions.pop("ap"), "ap50": found.precision[:, 0, 0], **precisions}
        columns = {"class": found.labels, "truths": found.truths, "detections": found.detections}
        for name, shares in whole.items():
            columns[name] = np.where(np.isnan(shares), NOTHING, 100 * shares)
        table = zip(*(column.tolist() for column in columns.values()), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in table]

    def resampled(self) -> Tensor | None:
        """The headline of resamples of the images, of those classes that each has objects of."""
        both, found = self._found()
        value = self.numbers(found)[self.headline]
        if not self.resamples or value == NOTHING:
            return None
        groups, member = np.unique(both.group, return_inverse=True)

        def measured(weights: ndarray) -> ndarray:
            if weights.shape[1] == 1 and (weights == 1).all():
                return np.array([value])
            whole = np.ascontiguousarray(weights.T[:, member], np.int32)
            # detections times resamples that are held at a time: 64 MB
            parts = -(-len(whole) * int(found.detections.max(initial=1)) // HELD)
            some = np.array_split(whole, max(1, parts))
            return np.concatenate([self.weighted(found, each) for each in some])

        return bootstrap(len(groups), self.resamples, measured)

    def weighted(self, found: Found, weights: ndarray) -> ndarray:
        """The headline in percent of weights of the images int32 (m, images): float64 (m,)."""
        measure = weighted_precision
        if self.headline != "ap":
            measure = partial(weighted_recall, cap=self.rule.caps[-1])
        classes = [measure(each, weights) for each in found.counts if len(each.truth_image)]
        return 100 * _mean(np.stack(classes))

    def picture(self) -> Lines:
        """Precision over recall, the mean of all classes that have objects."""
        found = self._found()[1]
        curves = found.curve[~np.isnan(found.curve[:, 0, 0])]
        if not len(curves):
            curves = np.zeros((1, *found.curve.shape[1:]))
        lines: Mapping[str, ndarray] = {
            f"IoU {threshold:.2f}": curves[:, place].mean(0)
            for place, threshold in enumerate(self.rule.thresholds)
            if np.isclose(threshold, (0.5, 0.75)).any()
        }
        lines = {**lines, "mean over IoU": curves.mean((0, 1))}
        recalls: Sequence[float] = (100 * RECALLS).tolist()
        series = [Series(name, recalls, (100 * line).tolist()) for name, line in lines.items()]
        return Lines("Precision over recall", "recall, %", "precision, %", series)

    def _found(self) -> tuple[Both, Found]:
        """All that was seen and what comes of it; ValueError where there is no sample, or a NaN."""
        if self._kept is None:
            both = self._seen.counted()
            self._kept = both, evaluate(both, self.shape, self.rule)
        return self._kept


def percent(shares: ndarray) -> float:
    """The mean of shares that are not NaN, in percent; -1 where all are."""
    known = shares[~np.isnan(shares)]
    return 100 * float(known.mean()) if known.size else NOTHING


def _mean(shares: ndarray) -> ndarray:
    """The mean over classes (k, m) that are not NaN, (m,); NaN where all are."""
    known = ~np.isnan(shares)
    total = np.nan_to_num(shares).sum(0)
    return np.divide(total, known.sum(0), out=np.full(len(total), np.nan), where=known.any(0))
