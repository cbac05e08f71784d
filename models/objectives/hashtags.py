"""Hashtag prediction: softmax over the vocabulary against 1/k for each of an image's k hashtags.

Mahajan, Girshick, Ramanathan, He, Paluri, Li, Bharambe, van der Maaten 2018, "Exploring the Limits
of Weakly Supervised Pretraining", arXiv 1805.00932, section 2 (loss function).
"""

from typing import Any, ClassVar

from torch import Tensor

from models.blocks.methods.classifier import Classifier

__all__ = ["Hashtags"]


class Hashtags(Classifier):
    """hashtags: multi-hot (n, vocabulary).

    An image without a hashtag counts in the batch and teaches nothing.
    """

    reads: ClassVar[dict[str, dict[str, Any]]] = {"image": {}, "hashtags": {}}
    target: ClassVar[str] = "hashtags"

    def shares(self, targets: Tensor) -> Tensor:
        """1/k for each of k hashtags.

        Shares that were mixed, of sum 1 or below, stay as they are.
        """
        return targets / targets.sum(1, keepdim=True).clamp(min=1)

    def forward(self, batch: dict[str, Tensor], phase: str = "") -> dict[str, Tensor]:
        batch = self.each(batch)
        shares = self.shares(batch["hashtags"])
        # not the loss's own smoothing, which would teach from images without a hashtag
        shares = shares.lerp(shares.mean(1, keepdim=True), self.label_smoothing)
        return self.head.loss(self.logits(batch["image"]), shares)
