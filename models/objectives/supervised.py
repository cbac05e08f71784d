"""Supervised classification: the baseline, or fine-tuning of a pretrained backbone.

Label smoothing: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna 2016, "Rethinking the Inception
Architecture for Computer Vision", arXiv 1512.00567, section 7.
"""

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from models.blocks.methods.classifier import Classifier

__all__ = ["Supervised"]


class Supervised(Classifier):
    """label: classes (n,), int64, or probabilities (n, classes)."""

    reads: ClassVar[dict[str, dict[str, Any]]] = {"image": {}, "label": {}}
    target: ClassVar[str] = "label"

    def shares(self, targets: Tensor) -> Tensor:
        """The classes as probabilities."""
        return F.one_hot(targets, self.head.classes).float()

    def forward(self, batch: dict[str, Tensor], phase: str = "") -> dict[str, Tensor]:
        batch = self.each(batch)
        logits, targets = self.logits(batch["image"]), batch["label"]
        if "label_known" not in batch:
            return self.head.loss(logits, targets, self.label_smoothing)
        # not the loss's own smoothing, which would teach from images without a label
        shares = targets.lerp(targets.mean(1, keepdim=True), self.label_smoothing)
        return self.head.loss(logits, shares)
