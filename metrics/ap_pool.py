"""Average precision of one ranking over all classes: whether scores compare across classes.

Dave, Dollar, Ramanan, Kirillov, Girshick 2021, "Evaluating Large-Vocabulary Object Detectors: The
Devil is in the Details", section 5: AP-pool. Detections are matched class by class, as in ap_fixed,
and then ranked together, so that one that is sure of a wrong class costs precision everywhere.
Pools of rare, common and frequent classes are ranked each for itself: LVISPooledEval of
achalddave/large-vocab-devil, lvdevil/eval_wrapper.py.

On files: python -m metrics.ap_pool results.json lvis.json
"""

from typing import Literal

from numpy import ndarray

from metrics.blocks.detection.average import FREQUENCIES, RESAMPLES
from metrics.blocks.detection.evaluation import Found
from metrics.blocks.detection.federated import FederatedPrecision
from metrics.blocks.ranges import Count, Resamples

__all__ = ["APPool"]


class APPool(FederatedPrecision):
    """Average precision over all classes' detections together, the mean over overlaps, in percent.

    of: What is compared.
    dets_per_class: So many detections of a class count, the best of all images.
    resamples: Of the bootstrap over images that gives the interval; 0: no interval.
    """

    def __init__(
        self,
        of: Literal["boxes", "masks"] = "boxes",
        dets_per_class: Count = 10_000,
        resamples: Resamples = RESAMPLES,
    ) -> None:
        super().__init__(of, resamples, per_class=dets_per_class, pooled=True)

    def numbers(self, found: Found) -> dict[str, float]:
        """Those of the pool of all classes, and `ap_rare` and so on of the others."""
        whole = _pool(found, 0)
        numbers = self.precisions(whole) | self.recalls(whole)
        pools = dict(enumerate(FREQUENCIES, 1))
        for label in found.labels.tolist():
            if label in pools:
                numbers |= {f"ap_{pools[label]}": self.precisions(_pool(found, label))["ap"]}
        return numbers

    def weighted(self, found: Found, weights: ndarray) -> ndarray:
        return super().weighted(_pool(found, 0), weights)

    def rows(self) -> list[dict[str, float]]:
        """As those of classes, of the pools: 0 all, 1 rare, 2 common, 3 frequent, 4 unknown."""
        return [{"pool": row.pop("class"), **row} for row in super().rows()]


def _pool(found: Found, label: int) -> Found:
    """One of the pools."""
    place = found.labels.tolist().index(label)
    columns = found._asdict()
    return Found(**{name: column[place : place + 1] for name, column in columns.items()})


if __name__ == "__main__":
    from metrics.cli.command import main

    main(APPool)
