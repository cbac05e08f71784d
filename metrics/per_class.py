"""Mean per-class accuracy: every class counts the same, whatever its number of samples.

Brodersen, Ong, Stephan, Buhmann 2010, "The Balanced Accuracy and Its Posterior Distribution". A
class without a sample has no accuracy: it is left out of the mean, and counted.

On files: python -m metrics.per_class predictions.parquet targets.parquet
"""

import numpy as np
from numpy import ndarray
from torch import Tensor

from metrics.blocks.guesses import Guesses
from metrics.blocks.intervals import RESAMPLES, bootstrap, checked, percentiles
from metrics.blocks.metric import Batch
from metrics.blocks.sums import adding, mean_over_classes, share

__all__ = ["PerClass"]


class PerClass:
    """Mean over classes of the share of their samples whose highest score is right, in percent.

    resamples: Of the bootstrap over samples that gives the interval; 0: no interval.
    """

    headline = "per_class"
    higher = True
    unit = "%"
    reads = Guesses.reads

    def __init__(self, resamples: int = RESAMPLES) -> None:
        self.resamples = checked(resamples)
        self._guesses = Guesses()

    def update(self, predictions: Batch, targets: Batch) -> None:
        """Take in scores (n, classes) and classes (n,)."""
        self._guesses.update(predictions, targets)

    def merge(self, other: "PerClass") -> None:
        """Add the samples that another one has seen."""
        self._guesses.merge(other._guesses)

    def compute(self) -> dict[str, float]:
        """{"per_class", "per_class_low", "per_class_high"} and "worst", the worst class's, in
        percent, "samples", "classes" that count and "absent", those that do not.
        """
        rows = self.rows()
        shares = [row["accuracy"] for row in rows]
        numbers = {"per_class": sum(shares) / len(shares)}
        if self.resamples:
            numbers |= percentiles("per_class", self.resampled())
        samples = sum(row["samples"] for row in rows)
        absent = len(self._guesses.table()) - len(rows)
        numbers |= {"worst": min(shares), "samples": samples}
        return {**numbers, "classes": len(rows), "absent": absent}

    def each(self) -> None:
        """None: the mean is one over classes."""

    def resampled(self) -> Tensor:
        """Each is the mean over those classes that the resample has samples of."""
        known, label, guess = (column.numpy() for column in self._guesses.joined())
        label, right = label[known], (label == guess)[known]
        samples, classes = len(label), label.max() + 1
        every, hits = np.arange(samples), np.flatnonzero(right)
        seen = adding(label, every, classes, samples)
        found = adding(label[hits], hits, classes, samples)

        def measured(weights: ndarray) -> ndarray:
            return mean_over_classes(share(found @ weights, seen @ weights))

        return bootstrap(samples, self.resamples, measured)

    def rows(self) -> list[dict[str, float]]:
        """{"class", "samples", "accuracy"} of every class that has samples, in percent."""
        table = self._guesses.table()
        counts = zip(table.sum(1).tolist(), table.diagonal().tolist(), strict=True)
        return [
            {"class": index, "samples": samples, "accuracy": 100 * hits / samples}
            for index, (samples, hits) in enumerate(counts)
            if samples
        ]


if __name__ == "__main__":
    from metrics.cli.command import main

    main(PerClass)
