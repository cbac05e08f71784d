"""What objectives without labels are made of: images become puzzles whose answers are known."""

from torch import Tensor

from models.blocks.augment.draws import Draws
from models.blocks.methods.classifier import Classifier

__all__ = ["Pretext"]


class Pretext(Classifier):
    """An objective but for `puzzles` and `head_sizes`.

    The targets of the data are not looked at.
    """

    def puzzles(self, images: Tensor, draws: Draws) -> dict[str, Tensor]:
        """{"inputs", "targets"}, one row per image, of normalised images (n, 3, h, w)."""
        raise NotImplementedError

    def views(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """Puzzles of random training views."""
        return self.puzzles(self.augment(batch["inputs"], draws), draws)

    def test_views(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """Puzzles of the images as they are.

        The targets in one row, as `predict` has its logits.
        """
        made = self.puzzles(self.augment.plain(batch["inputs"]), draws)
        return made | {"targets": made["targets"].flatten()}

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return self.head.loss(self.predict(batch["inputs"]), batch["targets"].flatten())
