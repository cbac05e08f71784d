"""Several classes of an image, each a question of its own: sigmoid cross entropy.

Mahajan et al. 2018, "Exploring the Limits of Weakly Supervised Pretraining", arXiv 1805.00932,
section 2, tried it for hashtags beside the softmax; it is the usual loss for the classes of PASCAL
VOC and COCO.
"""

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from models.blocks.methods.classifier import Classifier

__all__ = ["Multilabel"]


class Multilabel(Classifier):
    """tags: (n, classes), 1 at each class that an image shows, of which there may be none."""

    reads: ClassVar[dict[str, dict[str, Any]]] = {"image": {}, "tags": {}}
    target: ClassVar[str] = "tags"

    def shares(self, targets: Tensor) -> Tensor:
        """The tags themselves: each is a probability already."""
        return targets

    def forward(self, batch: dict[str, Tensor], phase: str = "") -> dict[str, Tensor]:
        batch = self.each(batch)
        tags, logits = batch["tags"], self.logits(batch["image"])
        known = batch.get("tags_known", tags.new_ones(len(tags)))[:, None]
        # both sides of each question get half of what is smoothed
        truth = tags.lerp(known / 2, self.label_smoothing)
        # binary cross entropy, of the share of an answer that is known: else a 0 would be a `no`
        each = known * F.softplus(logits) - truth * logits
        # a sum over classes: with a mean the rate would fall with their number
        return {"loss": each.sum(1).mean()}
