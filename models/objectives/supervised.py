"""Supervised classification: the baseline, or fine-tuning of a pretrained backbone."""

from torch import Tensor, nn

from models.blocks.classifier import Classifier

__all__ = ["Supervised"]


class Supervised(Classifier):
    """targets: classes (n,), int64."""

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
        return self.head.loss(self.predict(batch["inputs"]), batch["targets"])
