"""What linear heads share: logits of the mean of the last feature map, and what they mean.

Initialised as Goyal et al. 2017, "Accurate, Large Minibatch SGD", arXiv 1706.02677, section 5.1:
N(0, 0.01).
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.layers.pooled import Pooled

__all__ = ["LinearClassifier"]


class LinearClassifier(Pooled):
    """features, the last (n, channels[-1], h, w) -> logits (n, classes).

    target: the column that is predicted; of `tags` each is true by itself.
    """

    def __init__(self, channels: Sequence[int], classes: int, target: str = "label") -> None:
        super().__init__()
        self.classes, self.target = classes, target
        self.fc = nn.Linear(channels[-1], classes)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def classify(self, pooled: Tensor) -> Tensor:
        """Logits (n, classes)."""
        return self.fc(pooled)

    def loss(
        self, predictions: Tensor, targets: Tensor, label_smoothing: float = 0.0
    ) -> dict[str, Tensor]:
        """Cross entropy, averaged over the batch.

        Targets are classes (n,) or probabilities (n, classes).
        """
        return {"loss": F.cross_entropy(predictions, targets, label_smoothing=label_smoothing)}

    def decode(self, predictions: Tensor) -> Tensor:
        """Probabilities (n, classes): of sum 1, or of each tag."""
        return predictions.sigmoid() if self.target == "tags" else predictions.softmax(-1)
