"""The class of the highest score of each sample, beside its true one."""

from torch import Tensor

from metrics.blocks.columns import read_scores
from metrics.blocks.metric import Batch, Reads
from metrics.blocks.seen import Seen


class Guesses:
    """What metrics of one class per sample are made of: the true class and the one predicted."""

    reads = Reads(("scores",), ("label",))

    def __init__(self) -> None:
        self._seen = Seen()
        self._classes = 0

    def update(self, predictions: Batch, targets: Batch) -> None:
        """Take in scores (n, classes) and classes (n,)."""
        found = read_scores(predictions, targets, self.reads)
        self._of(found.scores.shape[1])
        # of equal scores the one that accuracy takes, which argmax need not do
        guess = found.scores.topk(1).indices[:, 0]
        self._seen.add(found, found.one_class(), guess)

    def merge(self, other: "Guesses") -> None:
        """Add the samples of another one, after the own."""
        if other._classes:
            self._of(other._classes)
        self._seen.merge(other._seen)

    def _of(self, classes: int) -> None:
        if self._classes not in (0, classes):
            raise ValueError(
                f"scores of {self._classes} classes, then of {classes}: use one metric each"
            )
        self._classes = classes

    def joined(self) -> tuple[Tensor, Tensor, Tensor]:
        """(known, true class, predicted class), each (n,), in the order seen."""
        known, label, guess = self._seen.joined()
        return known, label, guess

    def table(self) -> Tensor:
        """The matrix: samples of each class (rows) by predicted class (columns), int64."""
        label, guess = self._seen.counted()
        cells = (label * self._classes + guess).bincount(minlength=self._classes**2)
        return cells.view(self._classes, self._classes)
