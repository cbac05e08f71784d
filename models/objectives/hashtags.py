"""Hashtag prediction: softmax over the vocabulary against 1/k for each of an image's k hashtags.

Mahajan, Girshick, Ramanathan, He, Paluri, Li, Bharambe, van der Maaten 2018, "Exploring the Limits of Weakly Supervised
Pretraining", arXiv 1805.00932, section 2 (loss function).
"""

from torch import Tensor, nn

from models.blocks.classifier import Classifier

__all__ = ["Hashtags"]


class Hashtags(Classifier):
    """targets: multi-hot (n, vocabulary); an image without a hashtag counts in the batch and teaches nothing."""

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        scale: tuple[float, float] = (0.4, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip: float = 0.5,
    ) -> None:
        super().__init__(backbone, head, scale, ratio, flip)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        tags = batch["targets"]
        shares = tags / tags.sum(1, keepdim=True).clamp(min=1)
        return self.head.loss(self.predict(batch["inputs"]), shares)
