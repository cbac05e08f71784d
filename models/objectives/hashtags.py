"""Hashtag prediction: softmax over the vocabulary against 1/k for each of an image's k hashtags.

Mahajan, Girshick, Ramanathan, He, Paluri, Li, Bharambe, van der Maaten 2018, "Exploring the Limits
of Weakly Supervised Pretraining", arXiv 1805.00932, section 2 (loss function).
"""

from torch import Tensor

from models.blocks.methods.classifier import Classifier

__all__ = ["Hashtags"]


class Hashtags(Classifier):
    """targets: multi-hot (n, vocabulary).

    An image without a hashtag counts in the batch and teaches nothing.
    """

    def shares(self, targets: Tensor) -> Tensor:
        """1/k for each of k hashtags.

        Shares that were mixed, of sum 1 or below, stay as they are.
        """
        return targets / targets.sum(1, keepdim=True).clamp(min=1)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        shares = self.shares(batch["targets"])
        # not the loss's own smoothing, which would teach from images without a hashtag
        shares = shares.lerp(shares.mean(1, keepdim=True), self.label_smoothing)
        return self.head.loss(self.predict(batch["inputs"]), shares)
