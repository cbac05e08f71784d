"""Temporal localisation mAP of ActivityNet: what happens from when to when in a video.

Caba Heilbron, Escorcia, Ghanem, Niebles 2015, "ActivityNet: A Large-Scale Video Benchmark for Human
Activity Understanding", to the letter of its eval_detection.py: from the highest score on, each
segment takes the free true one of its video and class that it overlaps most; the area below
interpolated precision over recall, the mean over the classes that are true of anything, the mean
over the overlaps. The order of equal scores is that of numpy's unstable sort, as there. No video is
left out: the script asked a server, which is gone, for those that were withdrawn.

On files: python -m metrics.temporal_map RESULTS.json TRUTH.json
"""

from typing import ClassVar

import numpy as np
from numpy import ndarray

from metrics.blocks.events.curve import Curve
from metrics.blocks.events.kept import Rows, listed, plain, refuse_some, same_counts
from metrics.blocks.events.meancurves import CURVE_RESAMPLES, MeanCurves, by_class
from metrics.blocks.events.segments import greedy
from metrics.blocks.metric import Batch, Reads
from metrics.blocks.ranges import Count, Resamples, Share

__all__ = ["TemporalMAP"]

SHOWN = (0.5, 0.75, 0.95)  # overlaps that have numbers of their own
NETWORK = "a training that has diverged gives such weights: measure another network"


class TemporalMAP(MeanCurves):
    """Mean over overlaps and classes of the average precision of segments, in percent.

    lowest: The least of the overlaps, as intersection over union.
    highest: The greatest of them.
    overlaps: How many there are, in equal steps; THUMOS is 0.3, 0.7 and 5.
    resamples: Of the bootstrap over videos that gives the interval; 0: no interval.
    """

    headline = "temporal_map"
    reads = Reads(
        ("segments", "segment_label", "segment_score"), ("segments", "segment_label"), ("group",)
    )
    files: ClassVar[str] = "activitynet"

    def __init__(
        self,
        lowest: Share = 0.5,
        highest: Share = 0.95,
        overlaps: Count = 10,
        resamples: Resamples = CURVE_RESAMPLES,
    ) -> None:
        if not 0 < lowest <= highest or overlaps > 60:
            raise ValueError(
                f"overlaps from {lowest} to {highest}, {overlaps} of them: give a lowest above 0 "
                "and not above the highest, and at most 60"
            )
        super().__init__(resamples)
        # as the reference makes them: some are a last digit above what is written
        self.thresholds = np.linspace(lowest, highest, overlaps)

    def update(self, predictions: Batch, targets: Batch) -> None:
        """Take in segments of n videos, float (m, 2) in seconds, with segment_label and
        segment_score (m,); of the targets without scores, and group (n,) where it is there.
        """
        columns = {
            "segments": listed(predictions, "segments", "predictions", 2),
            "segment_label": listed(predictions, "segment_label", "predictions"),
            "segment_score": listed(predictions, "segment_score", "predictions"),
            "true_segments": listed(targets, "segments", "targets", 2),
            "true_label": listed(targets, "segment_label", "targets"),
        }
        if "group" in targets:
            columns["group"] = plain(targets, "group", "targets")
        self._kept.add(**columns)

    def merge(self, other: "TemporalMAP") -> None:
        """Add the videos that another one has seen, after the own."""
        assert np.array_equal(self.thresholds, other.thresholds), "overlaps differ"
        super().merge(other)

    def compute(self) -> dict[str, float]:
        """{"temporal_map" and its interval, "ap50", "ap75", "ap95" where these are among the
        overlaps} in percent, "samples", "true" segments, "given" ones, and "classes".
        """
        numbers = self._measured()
        curves, columns = self._all()
        once = np.ones((len(columns["segments"].counts), 1))
        for place, name in self._shown():
            at = tuple(row[place] for row in curves.values())
            numbers[name] = float(self._mean_at(at, once)[0])
        return {
            **numbers,
            "samples": len(once),
            "true": len(columns["true_segments"].values),
            "given": len(columns["segments"].values),
            "classes": len(curves),
        }

    def rows(self) -> list[dict[str, float]]:
        """{"class", "true", "given", "ap", "ap50", ...} of every class, the last in percent."""
        curves, columns = self._all()
        once = np.ones((len(columns["segments"].counts), 1))
        rows = []
        for label, row in curves.items():
            found = [100 * float(curve.area(once)[0]) for curve in row]
            more = {name: found[place] for place, name in self._shown()}
            counts = {"true": row[0].true, "given": row[0].given}
            rows.append({"class": label, **counts, "ap": float(np.mean(found)), **more})
        return rows

    def _shown(self) -> list[tuple[int, str]]:
        """Places of the overlaps that have numbers of their own, and their names."""
        near = np.isclose(self.thresholds[:, None], SHOWN)
        return [(row, f"ap{round(100 * SHOWN[column])}") for row, column in np.argwhere(near)]

    def _curves(self, columns: dict[str, Rows]) -> dict[int, list[Curve]]:
        _check(columns)
        video, labels = columns["segments"].of, columns["segment_label"].values
        true_video, true = columns["true_segments"].of, columns["true_label"].values
        segments = columns["segments"].values.astype(float)
        true_segments = columns["true_segments"].values.astype(float)
        scores = columns["segment_score"].values

        def made(some: ndarray, others: ndarray) -> list[Curve]:
            # the reference's own call, class by class: its sort is not stable
            order = scores[some].argsort()[::-1]
            places = (video[some], segments[some], true_video[others], true_segments[others])
            found = greedy(*places, order, self.thresholds)
            ranked = video[some][order]
            return [Curve(hits[order], ranked, true_video[others]) for hits in found]

        return by_class(labels, true, made)


def _check(columns: dict[str, Rows]) -> None:
    """ValueError where a column does not fit the others, or a segment is none."""
    same_counts(columns, ("segments", "segment_label", "segment_score"), "predicted segments")
    same_counts(columns, ("true_segments", "true_label"), "true segments")
    refuse_some(columns["segment_score"], np.isnan, "have a score that is NaN", NETWORK)
    for name, what in (("segments", "predicted"), ("true_segments", "true")):
        refuse_some(
            columns[name],
            lambda values: ~np.isfinite(values).all(1) | (values[:, 1] < values[:, 0]),
            f"have a {what} segment that ends before it starts, or is no number",
            "give start and end in seconds",
        )


if __name__ == "__main__":
    from metrics.cli.command import main

    main(TemporalMAP)
