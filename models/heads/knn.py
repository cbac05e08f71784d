"""Weighted k nearest neighbours in the mean of the last feature map: nothing is trained.

Wu, Xiong, Yu, Lin 2018, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination",
arXiv 1805.01978, section 3.4: w_c = sum over the k nearest samples i of class c of exp(s_i / tau),
s_i the cosine similarity.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.layers.pooled import Pooled
from models.blocks.ranges import Count, Positive

__all__ = ["KNN"]


class KNN(Pooled):
    """features, the last (n, channels[-1], h, w) -> log of shares of the votes (n, classes).

    samples: how many are kept.
    target: the column that is predicted; of `tags` a neighbour votes for each that it has.
    k: neighbours that vote.
    temperature: tau, by which similarities are divided before the softmax.
    """

    def __init__(
        self,
        channels: Sequence[int],
        classes: int,
        samples: Count,
        k: Count = 20,
        temperature: Positive = 0.07,
        target: str = "label",
    ) -> None:
        super().__init__()
        self.classes, self.k, self.temperature = classes, min(k, samples), temperature
        self.several = target == "tags"
        # a layer, so that params and flops count what is kept and compared
        self.bank = nn.Linear(channels[-1], samples, bias=False).requires_grad_(False)
        labels = torch.zeros(samples, dtype=torch.int64)
        self.register_buffer("labels", torch.zeros(samples, classes) if self.several else labels)

    @torch.no_grad()
    def fit(self, features: Tensor, targets: Tensor) -> None:
        """Take features (samples, channels[-1]) and their classes (samples,) to vote.

        Or their tags, (samples, classes), for each of which a neighbour votes.
        """
        self.bank.weight.copy_(F.normalize(features, dim=1))
        self.labels.copy_(targets)

    def classify(self, pooled: Tensor) -> Tensor:
        """Log of each class's share of the votes (n, classes)."""
        similarities, nearest = self.bank(F.normalize(pooled, dim=1)).topk(self.k)
        shares = (similarities / self.temperature).softmax(1)
        if self.several:
            votes = (shares[..., None] * self.labels[nearest]).sum(1)
        else:
            votes = shares.new_zeros(pooled.shape[0], self.classes).scatter_add(
                1, self.labels[nearest], shares
            )
        # a class without votes has no logarithm
        return votes.clamp_min(torch.finfo(votes.dtype).tiny).log()

    def loss(self, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Cross entropy, averaged over the batch.

        Targets are classes (n,) or probabilities (n, classes).
        """
        return {"loss": F.cross_entropy(predictions, targets)}

    def decode(self, predictions: Tensor) -> Tensor:
        """Shares of the votes (n, classes)."""
        return predictions.exp()
