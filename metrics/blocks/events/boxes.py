"""What the metrics of VOC's rule share: boxes with scores and classes, found or not."""

import numpy as np
from numpy import ndarray

from metrics.blocks.detection.voc import best_overlaps, matched
from metrics.blocks.events.curve import Curve
from metrics.blocks.events.kept import Rows, listed, plain, refuse_some, same_counts
from metrics.blocks.events.meancurves import MeanCurves, by_class
from metrics.blocks.metric import Batch

GIVEN = ("boxes", "box_label", "box_score")
TRUE = ("true_boxes", "true_label", "true_ignore")
ORDER = "a training that has diverged gives such weights: measure another network"


class VocCurves(MeanCurves):
    """Mean over classes of average precision, of boxes; one adds `_order` and `more`.

    more: 1 where x2 and y2 are the last pixel of a box, 0 where they are its edge.
    """

    more: float
    iou: float

    def update(self, predictions: Batch, targets: Batch) -> None:
        """Take in boxes of n images, float (m, 4) x1 y1 x2 y2, with box_label and box_score (m,).

        Of the targets boxes and box_label, and where they are there box_ignore, bool (m,), and
        group (n,). ValueError where a column is missing, or rows do not fit together.
        """
        columns = {
            "boxes": listed(predictions, "boxes", "predictions", 4),
            "box_label": listed(predictions, "box_label", "predictions"),
            "box_score": listed(predictions, "box_score", "predictions"),
            "true_boxes": listed(targets, "boxes", "targets", 4),
            "true_label": listed(targets, "box_label", "targets"),
        }
        if "box_ignore" in self.reads.more and "box_ignore" in targets:
            columns["true_ignore"] = listed(targets, "box_ignore", "targets")
        if "group" in targets:
            columns["group"] = plain(targets, "group", "targets")
        self._kept.add(**columns)

    def rows(self) -> list[dict[str, float]]:
        """{"class", "true", "given", "hits", "ap"} of every class that has boxes to be found, the
        last in percent.
        """
        curves, columns = self._all()
        once = np.ones((len(columns["boxes"].counts), 1))
        return [
            {
                "class": label,
                "true": curve.true,
                "given": curve.given,
                "hits": curve.hits,
                "ap": 100 * float(self._average(curve, once)[0]),
            }
            for label, (curve,) in curves.items()
        ]

    def compute(self) -> dict[str, float]:
        """{headline, "<headline>_low", "<headline>_high"} in percent, "samples", the numbers of
        "true" boxes and of those "given", "classes" that count and "absent", those that are given
        and have nothing to be found.
        """
        numbers = self._measured()
        curves, columns = self._all()
        absent = set(columns["box_label"].values.tolist()) - set(curves)
        return {
            **numbers,
            "samples": len(columns["boxes"].counts),
            "true": sum(curve.true for (curve,) in curves.values()),
            "given": len(columns["boxes"].values),
            "classes": len(curves),
            "absent": len(absent),
        }

    def _usable(self, columns: dict[str, Rows]) -> ndarray:
        """Which detections count at all, bool (n,)."""
        return np.ones(len(columns["boxes"].values), bool)

    def _order(self, scores: ndarray) -> ndarray:
        """The detections of one class, of all images, from the highest score on."""
        raise NotImplementedError

    def _curves(self, columns: dict[str, Rows]) -> dict[int, list[Curve]]:
        _check(columns)
        usable = self._usable(columns)
        image, labels = columns["boxes"].of[usable], columns["box_label"].values[usable]
        scores = columns["box_score"].values[usable]
        true_image, true = columns["true_boxes"].of, columns["true_label"].values
        ignore = np.zeros(len(true), bool)
        if "true_ignore" in columns:
            ignore = columns["true_ignore"].values > 0
        keys, true_keys = _keys(image, labels, true_image, true)
        best, most = best_overlaps(
            keys,
            columns["boxes"].values[usable].astype(float),
            true_keys,
            columns["true_boxes"].values.astype(float),
            self.more,
        )
        highest = np.argsort(-scores, kind="stable")
        found = matched(best, most >= self.iou, highest, ignore)

        def made(some: ndarray, others: ndarray) -> list[Curve]:
            some = some[found.counted[some]]
            some = some[self._order(scores[some])]
            return [Curve(found.hit[some], image[some], true_image[others])]

        sought = np.flatnonzero(~ignore)
        return by_class(labels, true[sought], lambda some, others: made(some, sought[others]))


def _check(columns: dict[str, Rows]) -> None:
    """ValueError where a column does not fit the others, or a number is none."""
    same_counts(columns, GIVEN, "predicted boxes")
    same_counts(columns, TRUE, "true boxes")
    refuse_some(columns["box_score"], np.isnan, "have a score that is NaN", ORDER)
    refuse_some(columns["boxes"], _not_finite, "have a predicted box that is no number", ORDER)
    refuse_some(
        columns["true_boxes"],
        _not_finite,
        "have a true box that is no number",
        "look at the annotations",
    )
    refuse_some(
        columns["true_boxes"],
        lambda boxes: (boxes[:, 2:] < boxes[:, :2]).any(1),
        "have a true box whose end is before its start",
        "give x1 y1 x2 y2, not x y width height",
    )


def _not_finite(values: ndarray) -> ndarray:
    return ~np.isfinite(values)


def _keys(*pairs: ndarray) -> tuple[ndarray, ndarray]:
    """A number for each pair of an image and a class: of what is found, and of what is true."""
    image, labels, true_image, true = pairs
    both = np.concatenate([labels, true])
    _, places = np.unique(both, return_inverse=True)
    keys = np.concatenate([image, true_image]) * (places.max(initial=0) + 1) + places
    return keys[: len(labels)], keys[len(labels) :]
