"""Metrics whose headline is the mean over classes of the area below precision over recall."""

from collections.abc import Callable

import numpy as np
from numpy import ndarray
from torch import Tensor

from metrics.blocks.bootstrap import bootstrap, percentiles
from metrics.blocks.events.curve import Curve
from metrics.blocks.events.kept import Kept, Rows, drawn_together
from metrics.blocks.picture import Lines, Series
from metrics.blocks.sums import mean_over_classes

# curves that are drawn, of the classes with most to be found
DRAWN = 6
CURVE_RESAMPLES = 100


class MeanCurves:
    """What they share; one adds `update` and `_curves`.

    Of each class that has anything to be found there is a curve per overlap. What is kept of the
    samples may have the column `group`, of samples that are resampled together.
    """

    headline: str
    higher = True
    unit = "%"

    def __init__(self, resamples: int) -> None:
        """resamples: of the bootstrap that gives the interval; 0: no interval."""
        self.resamples = resamples
        self._kept = Kept()
        self._found: tuple[int, dict[int, list[Curve]], dict[str, Rows]] | None = None

    def __getstate__(self) -> dict:
        # what is found is found again where it is asked for
        return self.__dict__ | {"_found": None}

    def merge(self, other: "MeanCurves") -> None:
        """Add the samples that another one has seen, after the own."""
        self._kept.merge(other._kept)

    def each(self) -> None:
        """None: the mean is one over classes."""

    def resampled(self) -> Tensor | None:
        """Each is the mean over those classes that the resample has anything to be found of."""
        if not self.resamples:
            return None
        curves, columns = self._all()
        samples = len(next(iter(columns.values())).counts)
        group = columns["group"].values if "group" in columns else None
        drawn, spread = drawn_together(group, samples)
        return bootstrap(drawn, self.resamples, lambda weights: self._mean(curves, spread(weights)))

    def picture(self) -> Lines:
        """Precision over recall of the classes that have most to be found."""
        curves, _ = self._all()
        most = sorted(curves, key=lambda label: (-curves[label][0].true, label))[:DRAWN]
        series = []
        for label in most:
            recall, precision = (100 * part for part in curves[label][0].plain())
            series.append(Series(label, recall.tolist(), precision.tolist()))
        return Lines(self._title(), "recall, %", "precision, %", series)

    def _title(self) -> str:
        return f"Precision over recall, {self.headline} {self._numbers()[self.headline]:.2f}"

    def _numbers(self) -> dict[str, float]:
        """The headline, without its interval."""
        curves, columns = self._all()
        samples = len(next(iter(columns.values())).counts)
        return {self.headline: float(self._mean(curves, np.ones((samples, 1)))[0])}

    def _measured(self) -> dict[str, float]:
        """The headline, and the ends of its interval where there is one."""
        found = self.resampled()
        numbers = self._numbers()
        return numbers if found is None else numbers | percentiles(self.headline, found)

    def _mean(self, curves: dict[int, list[Curve]], weights: ndarray) -> ndarray:
        """In percent, (m,): of the samples with weights (samples, m)."""
        by_overlap = zip(*curves.values(), strict=True)
        return np.mean([self._mean_at(part, weights) for part in by_overlap], 0)

    def _mean_at(self, curves: tuple[Curve, ...], weights: ndarray) -> ndarray:
        return mean_over_classes(np.stack([self._average(curve, weights) for curve in curves]))

    def _average(self, curve: Curve, weights: ndarray) -> ndarray:
        """Average precision of one curve, (m,)."""
        return curve.area(weights)

    def _all(self) -> tuple[dict[int, list[Curve]], dict[str, Rows]]:
        """Curves of each class that has anything to be found, and the columns of all samples.

        ValueError where there is no sample, or nothing to be found.
        """
        if self._found is None or self._found[0] != len(self._kept):
            columns = self._kept.all()
            self._found = (len(self._kept), self._curves(columns), columns)
            if not self._found[1]:
                raise ValueError(
                    f"none of {len(self._kept)} samples has anything to be found: give targets of "
                    "which some are not empty"
                )
        return self._found[1:]

    def _curves(self, columns: dict[str, Rows]) -> dict[int, list[Curve]]:
        """The curves of these samples, of each class one per overlap."""
        raise NotImplementedError


def by_class(
    labels: ndarray, true: ndarray, made: Callable[[ndarray, ndarray], list[Curve]]
) -> dict[int, list[Curve]]:
    """`made(detections, truths)` of each class that is true of anything: places into both.

    labels (n,) of what is found, true (m,) of what is to be found; their order is kept.
    """
    order, true_order = (np.argsort(each, kind="stable") for each in (labels, true))
    classes = np.unique(true)
    found = {}
    for label in classes.tolist():
        some, others = (
            sorted_by[slice(*np.searchsorted(each[sorted_by], [label, label + 1]))]
            for each, sorted_by in ((labels, order), (true, true_order))
        )
        found[label] = made(some, others)
    return found
