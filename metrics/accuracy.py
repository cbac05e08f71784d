"""Top-k accuracy with its 95 % confidence interval.

Interval: Wilson 1927, "Probable Inference, the Law of Succession, and Statistical Inference".
On files: python -m metrics.accuracy predictions.npy targets.npy
"""

import json
from collections.abc import Sequence
from math import sqrt
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

__all__ = ["Accuracy"]


def wilson(hits: int, samples: int, z: float = 1.959964) -> tuple[float, float]:
    """Bounds of a proportion; z is the normal quantile, here for 95 %."""
    p, shrink = hits / samples, 1 + z * z / samples
    centre = p + z * z / (2 * samples)
    half = z * sqrt(p * (1 - p) / samples + z * z / (4 * samples**2))
    return max(0.0, (centre - half) / shrink), min(1.0, (centre + half) / shrink)


class Accuracy:
    """Share of samples with a true class among the k highest scores, in percent."""

    def __init__(self, topk: Sequence[int] = (1, 5)) -> None:
        self.topk = tuple(topk)
        self._correct: list[Tensor] = []

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Take in scores (n, classes) and targets (n,), or (n, classes), multi-hot.

        Of several true classes any is a hit.
        """
        n, classes = predictions.shape
        if targets.shape not in [(n,), (n, classes)]:
            raise ValueError(
                f"targets of shape {tuple(targets.shape)} do not fit predictions of shape "
                f"{(n, classes)}: "
                f"give classes ({n},) or multi-hot ({n}, {classes})"
            )
        # of no more classes than k there is always a hit
        top = predictions.topk(min(max(self.topk), classes)).indices
        # multi-hot: a share above 0 is a true class
        match = targets.gather(1, top) > 0 if targets.ndim == 2 else top == targets[:, None]
        # what was right stays on the device, so an update never waits for it
        self._correct.append(torch.stack([match[:, :k].any(1) for k in self.topk], 1))

    def __getstate__(self) -> dict:
        """On the CPU: workers send it to one another."""
        return {"topk": self.topk, "_correct": [correct.cpu() for correct in self._correct]}

    def merge(self, other: "Accuracy") -> None:
        """Add the samples that another one has seen."""
        assert self.topk == other.topk, f"top {self.topk} and top {other.topk} do not add up"
        self._correct += other._correct

    def correct(self) -> Tensor:
        """bool (samples, len(topk)): whether a true class is among the k highest, as seen."""
        none = torch.zeros(0, len(self.topk), dtype=torch.bool)
        return torch.cat([none, *(part.cpu() for part in self._correct)])

    def compute(self) -> dict[str, float]:
        """{"top1", "top1_low", "top1_high", ...} in percent, and "samples"."""
        correct = self.correct()
        samples = len(correct)
        if not samples:
            raise ValueError(
                "accuracy of no samples: the data set is empty, or update was never called"
            )
        numbers: dict[str, float] = {}
        for k, hits in zip(self.topk, correct.sum(0).tolist(), strict=True):
            low, high = wilson(hits, samples)
            numbers |= {
                f"top{k}": 100 * hits / samples,
                f"top{k}_low": 100 * low,
                f"top{k}_high": 100 * high,
            }
        return {**numbers, "samples": samples}


def main(predictions: Path, targets: Path) -> None:
    """Print the accuracy of scores (n, classes) against targets, both .npy.

    Targets are classes (n,) or multi-hot (n, classes).
    """
    metric = Accuracy()
    metric.update(torch.from_numpy(np.load(predictions)), torch.from_numpy(np.load(targets)))
    print(json.dumps(metric.compute(), indent=2))


if __name__ == "__main__":
    import typer

    typer.run(main)
