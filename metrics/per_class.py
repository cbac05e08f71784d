"""Mean per-class accuracy: every class counts the same, whatever its number of samples.

Brodersen, Ong, Stephan, Buhmann 2010, "The Balanced Accuracy and Its Posterior Distribution". A
class without a sample has no accuracy: it is left out of the mean, and counted.

Interval: Franco, Little, Louis, Slud 2019, "Comparative Study of Confidence Intervals for
Proportions in Complex Sample Surveys".

On files: python -m metrics.per_class predictions.parquet targets.parquet
"""

import numpy as np
from numpy import ndarray
from torch import Tensor

from metrics.blocks.bootstrap import RESAMPLES, bootstrap
from metrics.blocks.guesses import Guesses
from metrics.blocks.proportions import wilson_of_mean
from metrics.blocks.sums import adding, mean_over_classes, share

__all__ = ["PerClass"]


class PerClass(Guesses):
    """Mean over classes of the share of their samples whose highest score is right, in percent."""

    headline = "per_class"
    higher = True
    unit = "%"

    def compute(self) -> dict[str, float]:
        """{"per_class", "per_class_low", "per_class_high"} and "worst", the worst class's, in
        percent, "samples", "classes" that count and "absent", those that do not.
        """
        table = self.table()
        present = table.sum(1) > 0
        hits, samples = table.diagonal()[present].double(), table.sum(1)[present].double()
        shares = hits / samples
        low, high = wilson_of_mean(hits.numpy(), samples.numpy())
        return {
            "per_class": 100 * shares.mean().item(),
            "per_class_low": 100 * low,
            "per_class_high": 100 * high,
            "worst": 100 * shares.min().item(),
            "samples": int(samples.sum()),
            "classes": len(shares),
            "absent": len(table) - len(shares),
        }

    def each(self) -> None:
        """None: the mean is one over classes."""

    def resampled(self) -> Tensor:
        """Each is the mean over those classes that the resample has samples of."""
        known, label, guess = (column.numpy() for column in self.joined())
        label, right = label[known], (label == guess)[known]
        samples, classes = len(label), label.max() + 1
        hits = np.flatnonzero(right)
        seen = adding(label, np.arange(samples), classes, samples)
        found = adding(label[hits], hits, classes, samples)

        def measured(weights: ndarray) -> ndarray:
            return mean_over_classes(share(found @ weights, seen @ weights))

        return bootstrap(samples, RESAMPLES, measured)

    def rows(self) -> list[dict[str, float]]:
        """{"class", "samples", "accuracy"} of every class that has samples, in percent."""
        table = self.table()
        counts = zip(table.sum(1).tolist(), table.diagonal().tolist(), strict=True)
        return [
            {"class": index, "samples": samples, "accuracy": 100 * hits / samples}
            for index, (samples, hits) in enumerate(counts)
            if samples
        ]


if __name__ == "__main__":
    from metrics.cli.command import main

    main(PerClass)
