"""SimCLR: two views of a sample are to be more alike than views of different samples.

Chen, Kornblith, Norouzi, Hinton 2020, "A Simple Framework for Contrastive Learning of Visual
Representations", arXiv 2002.05709, section 2, equation 1 (NT-Xent).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.augment.crops import Crops
from models.blocks.methods.gather import first_row, gather
from models.blocks.methods.multiview import MultiView
from models.blocks.methods.projector import projector
from models.blocks.ranges import Plug, Positive, Width

__all__ = ["SimCLR", "nt_xent"]


class SimCLR(MultiView):
    """image (n, v, 3, h, w), of which the first two views are compared.

    views: what makes them; null: crops with the paper's distortions.
    hidden: channels between the two layers of the projector; null: those of the features.
    width: numbers that a projection has.
    temperature: that similarities are divided by.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        views: Plug[Callable, "views"] | None = None,  # noqa: F821
        hidden: Width | None = None,
        width: Width = 128,
        temperature: Positive = 0.1,
    ) -> None:
        super().__init__(backbone, head, views or Crops)
        features = backbone.channels[-1]
        self.projector = projector((features, hidden or features, width))
        self.temperature = temperature

    def embedded(self, images: Tensor) -> Tensor:
        """Projections (n, width) of normalised images."""
        return self.projector(self.features(images))

    def forward(self, batch: dict[str, Tensor], phase: str = "") -> dict[str, Tensor]:
        pooled = self.pooled(batch["image"][:, :2])
        projected = self.projector(pooled.flatten(0, 1)).unflatten(0, pooled.shape[:2])
        return {"loss": nt_xent(*projected.unbind(1), self.temperature)}


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Mean loss of this worker's rows (n, d), against those of all workers."""
    own = F.normalize(torch.stack([first, second]).float(), dim=2)
    n, start = len(first), first_row(first)
    every = torch.stack([gather(view) for view in own])
    scores = own.flatten(0, 1) @ every.flatten(0, 1).T / temperature
    rows = torch.arange(n, device=first.device) + start
    self_, other = torch.cat([rows, rows + len(every[0])]), torch.cat([rows + len(every[0]), rows])
    scores.scatter_(1, self_[:, None], float("-inf"))
    return F.cross_entropy(scores, other)
