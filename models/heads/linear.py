"""Linear classifier on the mean of the last feature map.

Initialised as Goyal et al. 2017, "Accurate, Large Minibatch SGD", arXiv 1706.02677, section 5.1: N(0, 0.01).
"""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Linear"]


class Linear(nn.Module):
    """features, the last (n, channels[-1], h, w) -> logits (n, classes)."""

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels[-1], classes)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

    def pool(self, features: Sequence[Tensor]) -> Tensor:
        """Global average (n, channels[-1]): what a linear probe may compute once and keep."""
        return features[-1].mean((2, 3))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return self.fc(self.pool(features))

    def loss(self, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Cross entropy, averaged over the batch; targets are classes (n,) or probabilities (n, classes)."""
        return {"loss": F.cross_entropy(predictions, targets)}

    def decode(self, predictions: Tensor) -> Tensor:
        """Probabilities (n, classes)."""
        return predictions.softmax(-1)
