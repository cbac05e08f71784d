"""Top-k accuracy with its 95 % confidence interval.

Interval: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
On files: python -m metrics.accuracy predictions.parquet targets.parquet
"""

import torch
from torch import Tensor

from metrics.blocks.columns import read_scores
from metrics.blocks.metric import Batch, Reads
from metrics.blocks.proportions import wilson
from metrics.blocks.ranges import Counts
from metrics.blocks.seen import Seen

__all__ = ["Accuracy"]


class Accuracy:
    """Share of samples with a true class among the k highest scores, in percent.

    topk: The numbers k; the first one's accuracy is the headline.
    """

    higher = True
    unit = "%"
    reads = Reads(("scores",), (("label", "hashtags", "tags"),))

    def __init__(self, topk: Counts = (1, 5)) -> None:
        self.topk = tuple(topk)
        self.headline = f"top{self.topk[0]}"
        self._seen = Seen()

    def update(self, predictions: Batch, targets: Batch) -> None:
        """Take in scores (n, classes) and classes (n,), or (n, classes), multi-hot.

        Of several true classes any is a hit.
        """
        found = read_scores(predictions, targets, self.reads)
        # of no more classes than k there is always a hit
        top = found.scores.topk(min(max(self.topk), found.scores.shape[1])).indices
        if found.target.ndim == 2:
            # a share above 0 is a true class
            match = found.target.gather(1, top) > 0
        else:
            match = top == found.target[:, None]
        correct = torch.stack([match[:, :k].any(1) for k in self.topk], 1)
        self._seen.add(found, correct)

    def merge(self, other: "Accuracy") -> None:
        """Add the samples that another one has seen."""
        assert self.topk == other.topk, f"top {self.topk} and top {other.topk} do not add up"
        self._seen.merge(other._seen)

    def compute(self) -> dict[str, float]:
        """{"top1", "top1_low", "top1_high", ...} in percent, and "samples"."""
        (correct,) = self._seen.counted()
        samples = len(correct)
        numbers: dict[str, float] = {}
        for k, hits in zip(self.topk, correct.sum(0).tolist(), strict=True):
            low, high = wilson(hits, samples)
            numbers |= {
                f"top{k}": 100 * hits / samples,
                f"top{k}_low": 100 * low,
                f"top{k}_high": 100 * high,
            }
        return {**numbers, "samples": samples}

    def each(self) -> Tensor:
        """100 where a true class is among the k highest, of the first k, else 0."""
        known, correct = self._seen.joined()
        return (100 * correct[:, 0].double()).where(known, torch.nan)


if __name__ == "__main__":
    from metrics.cli.command import main

    main(Accuracy)
