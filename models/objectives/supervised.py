"""Supervised classification: the baseline, fine-tuning of a pretrained backbone, or a linear probe of it."""

import torch
from torch import Tensor, nn

from models.blocks.classifier import Classifier

__all__ = ["Supervised"]


class Supervised(Classifier):
    """targets: classes (n,), int64. frozen: only the head learns, and batch norm keeps the statistics it came with."""

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        frozen: bool = False,
        scale: tuple[float, float] = (0.4, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip: float = 0.5,
    ) -> None:
        super().__init__(backbone, head, scale, ratio, flip)
        self.frozen = frozen
        if frozen:
            backbone.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "Supervised":
        super().train(mode)
        self.backbone.train(mode and not self.frozen)
        return self

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.head.loss(self.predict(batch["inputs"]), batch["targets"])

    def predict(self, inputs: Tensor) -> Tensor:
        """Logits (n, classes)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.backbone(inputs)
        return self.head(features)
