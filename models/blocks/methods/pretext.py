"""What objectives without labels are made of: images become puzzles whose answers are known."""

from typing import ClassVar

from torch import Tensor

from models.blocks.augment.draws import Draws
from models.blocks.methods.classifier import Classifier

__all__ = ["Pretext"]


class Pretext(Classifier):
    """An objective but for `puzzles` and `facts`: the answer to a puzzle is its label.

    The targets of the data are not looked at.
    """

    target: ClassVar[str] = "label"
    classifies: ClassVar[bool] = False

    def puzzles(self, images: Tensor, draws: Draws) -> dict[str, Tensor]:
        """{"image", "label"}, one row per image, of normalised images (n, 3, h, w)."""
        raise NotImplementedError

    def views(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """Puzzles of random training views."""
        return self.puzzles(self.augment(batch["image"], draws), draws)

    def test_views(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """Puzzles of the images as they are.

        The labels in one row, as `predict` has its logits.
        """
        made = self.puzzles(self.augment.plain(batch["image"]), draws)
        return made | {"label": made["label"].flatten()}

    def predict(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Scores of the answers to a batch of puzzles."""
        return {"scores": self.logits(batch["image"])}

    def forward(self, batch: dict[str, Tensor], phase: str = "") -> dict[str, Tensor]:
        return self.head.loss(self.logits(batch["image"]), batch["label"].flatten())
