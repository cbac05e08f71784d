"""Multi-label F1: the harmonic mean of precision and recall of the classes that are predicted.

The headline is the mean of the classes' F1 ("macro"); Opitz, Burst 2019, "Macro F1 and Macro F1",
arXiv 1911.03347 tell it from the F1 of mean precision and recall. A class without a true sample is
left out of it, and counted. Beside it: "micro", of all pairs of a sample and a class together, and
the mean over samples, where a sample without a class that gets none counts as 1.

On files: python -m metrics.f1 predictions.parquet targets.parquet
"""

import numpy as np
import torch
from numpy import ndarray

from metrics.blocks.bootstrap import RESAMPLES, mean_percentiles
from metrics.blocks.columns import read_scores
from metrics.blocks.metric import Batch, Reads
from metrics.blocks.overclasses import OverClasses
from metrics.blocks.ranges import Resamples, Share, Whole
from metrics.blocks.sums import mean_over_classes, share

__all__ = ["F1"]


class F1(OverClasses):
    """Mean over classes of their F1, in percent.

    threshold: A class is predicted where its probability is above.
    top: Instead, so many classes of the highest scores are predicted of each sample; 0: by the
    threshold.
    resamples: Of the bootstrap over samples that gives the interval; 0: no interval.
    """

    headline = "f1"
    higher = True
    unit = "%"
    reads = Reads(("probabilities",), (("tags", "hashtags", "label"),))

    def __init__(
        self, threshold: Share = 0.5, top: Whole = 0, resamples: Resamples = RESAMPLES
    ) -> None:
        if top:
            # probabilities near 1 are equal where their scores are not
            self.reads = self.reads._replace(predictions=("scores",))
        super().__init__(resamples)
        self.threshold, self.top = threshold, top

    def update(self, predictions: Batch, targets: Batch) -> None:
        """Take in probabilities (n, classes) and multi-hot (n, classes), or classes (n,).

        With `top`, scores instead of probabilities.
        """
        found = read_scores(predictions, targets, self.reads)
        predicted = found.scores > self.threshold
        if self.top:
            best = found.scores.topk(min(self.top, found.scores.shape[1])).indices
            predicted = torch.zeros_like(predicted).scatter_(1, best, True)
        self._seen.add(found, predicted, found.multi_hot())

    def merge(self, other: "F1") -> None:
        """Add the samples that another one has seen."""
        same = (self.threshold, self.top) == (other.threshold, other.top)
        assert same, "metrics of different thresholds do not add up"
        self._seen.merge(other._seen)

    def compute(self) -> dict[str, float]:
        """{"f1", "f1_low", "f1_high", "f1_micro", "f1_samples"} and the ends of the last one's
        interval in percent, "samples", "classes" that count and "absent", those that do not.
        """
        predicted, true = self._columns()
        hits = predicted & true
        numbers = self._headline()
        numbers["f1_micro"] = 200 * float(hits.sum() / (predicted.sum() + true.sum()))
        both = (predicted.sum(1) + true.sum(1)).astype(float)
        by_sample = torch.from_numpy(100 * share(2 * hits.sum(1), both, empty=1))
        numbers["f1_samples"] = by_sample.mean().item()
        if self.resamples:
            numbers |= mean_percentiles("f1_samples", by_sample, self.resamples)
        return numbers | self._counts()

    def rows(self) -> list[dict[str, float]]:
        """{"class", "positives", "given", "precision", "recall", "f1"} of every class that
        counts, the last three in percent; precision is 0 where the class is never predicted.
        """
        predicted, true = self._columns()
        hits = (predicted & true).sum(0)
        counts = zip(hits.tolist(), predicted.sum(0).tolist(), true.sum(0).tolist(), strict=True)
        return [
            {
                "class": index,
                "positives": positives,
                "given": given,
                "precision": 100 * hit / max(1, given),
                "recall": 100 * hit / positives,
                "f1": 200 * hit / (given + positives),
            }
            for index, (hit, given, positives) in enumerate(counts)
            if positives
        ]

    def _columns(self) -> tuple[ndarray, ndarray]:
        """(predicted, true), bool (n, classes); ValueError where no class has a true sample."""
        predicted, true = self._known()
        return predicted.numpy(), true.numpy()

    def _mean(self, weights: ndarray) -> ndarray:
        """In percent, (m,): of weights (n, m)."""
        predicted, true = self._columns()
        hits, given, positives = (
            part.T.astype(weights.dtype) @ weights for part in (predicted & true, predicted, true)
        )
        shares = share(2 * hits, given + positives)
        return mean_over_classes(np.where(positives > 0, shares, np.nan))


if __name__ == "__main__":
    from metrics.cli.command import main

    main(F1)
