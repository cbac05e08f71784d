"""Multi-label mean average precision: how well true samples rank above the others, class by class.

`area` sums precision times gain in recall over the thresholds, without interpolation, as
scikit-learn's average_precision_score does: Zhu 2004, "Recall, Precision and Average Precision".
`voc2007` is the mean of the highest precision at eleven recalls: Everingham, Van Gool, Williams,
Winn, Zisserman 2010, "The Pascal Visual Object Classes (VOC) Challenge". Samples of equal score are
found together. A class without a true sample has no average precision: it is left out, and counted.

On files: python -m metrics.mean_ap predictions.parquet targets.parquet
"""

from typing import Literal

import numpy as np
import torch
from numpy import ndarray

from metrics.blocks.bootstrap import RESAMPLES
from metrics.blocks.columns import read_scores
from metrics.blocks.metric import Batch, Reads
from metrics.blocks.overclasses import OverClasses
from metrics.blocks.precision import Ranked
from metrics.blocks.ranges import Resamples
from metrics.blocks.sums import mean_over_classes

__all__ = ["MeanAP"]


class MeanAP(OverClasses):
    """Mean over classes of their average precision, in percent.

    definition: `area` below precision over recall, or `voc2007`, eleven points of it.
    resamples: Of the bootstrap over samples that gives the interval; 0: no interval.
    """

    headline = "map"
    higher = True
    unit = "%"
    reads = Reads(("scores",), (("tags", "hashtags", "label"),))

    def __init__(
        self, definition: Literal["area", "voc2007"] = "area", resamples: Resamples = RESAMPLES
    ) -> None:
        super().__init__(resamples)
        self.definition = definition

    def update(self, predictions: Batch, targets: Batch) -> None:
        """Take in scores (n, classes) and multi-hot (n, classes), or classes (n,)."""
        found = read_scores(predictions, targets, self.reads)
        self._seen.add(found, found.scores, found.multi_hot())

    def merge(self, other: "MeanAP") -> None:
        """Add the samples that another one has seen."""
        assert self.definition == other.definition, "metrics of two definitions do not add up"
        self._seen.merge(other._seen)

    def compute(self) -> dict[str, float]:
        """{"map", "map_low", "map_high"} in percent, "samples", "classes" that count
        and "absent", those that do not.
        """
        return self._headline() | self._counts()

    def rows(self) -> list[dict[str, float]]:
        """{"class", "positives", "ap"} of every class that counts, in percent."""
        scores, true = self._columns()
        precisions = self._average(np.ones((len(scores), 1)))[:, 0]
        positives = true.sum(0)
        found = enumerate(zip(positives.tolist(), precisions.tolist(), strict=True))
        return [
            {"class": index, "positives": count, "ap": 100 * precision}
            for index, (count, precision) in found
            if count
        ]

    def _columns(self) -> tuple[ndarray, ndarray]:
        """(scores, true), both (n, classes); ValueError where no class has a true sample."""
        scores, true = self._known()
        if scores.dtype == torch.bfloat16:  # which numpy has not
            scores = scores.float()
        return scores.numpy(), true.numpy()

    def _mean(self, weights: ndarray) -> ndarray:
        """In percent, (m,): of weights (n, m)."""
        return mean_over_classes(self._average(weights))

    def _average(self, weights: ndarray) -> ndarray:
        """The average precisions, (classes, m), NaN where a class has no true sample."""
        scores, true = self._columns()
        found = np.full((true.shape[1], weights.shape[1]), np.nan)
        for index in np.flatnonzero(true.any(0)):
            ranked = Ranked(scores[:, index], true[:, index])
            area = self.definition == "area"
            found[index] = ranked.area(weights) if area else ranked.eleven(weights)
        return found


if __name__ == "__main__":
    from metrics.cli.command import main

    main(MeanAP)
