"""SimCLR: two views of a sample are to be more alike than views of different samples.

Chen, Kornblith, Norouzi, Hinton 2020, "A Simple Framework for Contrastive Learning of Visual
Representations", arXiv 2002.05709, section 2, equation 1 (NT-Xent).
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.augment.crops import SIMCLR, Crops
from models.blocks.gather import first_row, gather
from models.blocks.methods.multiview import MultiView, each_view, wide
from models.blocks.methods.projector import projector
from models.blocks.ranges import Depth, Plug, Positive, Width

__all__ = ["SimCLR", "nt_xent"]


class SimCLR(MultiView):
    """image (n, v, 3, h, w), of which the first two views are compared.

    views: what makes them; null: crops with the paper's distortions.
    layers: linear layers of the projector.
    hidden: channels between them; null: those of the features.
    width: numbers that a projection has.
    norm: whether batch norm follows each of them, as in the authors' code; the paper's equation of
        the projector has none.
    temperature: that similarities are divided by.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        views: Plug[Callable, "views"] | None = None,  # noqa: F821
        layers: Depth = 2,
        hidden: Width | None = None,
        width: Width = 128,
        norm: bool = True,
        temperature: Positive = 0.1,
    ) -> None:
        super().__init__(backbone, head, views or partial(Crops, **SIMCLR))
        inner = [hidden or self.width] * (layers - 1)
        # a norm takes out what a bias adds
        self.projector = projector(
            (self.width, *inner, width), norm, norm, bias=not norm, last_bias=not norm
        )
        self.temperature = temperature

    def forward(self, batch: dict[str, Tensor], phase: str = "") -> dict[str, Tensor]:
        projected = each_view(self.pooled(batch["image"][:, :2]), self.projector)
        return {"loss": nt_xent(*projected.unbind(1), self.temperature)}


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Mean loss of this worker's rows (n, d), against those of all workers."""
    own = F.normalize(wide(torch.stack([first, second], 1)), dim=2)
    every = gather(own)
    # of all samples, the first views before the second ones
    rows = torch.arange(len(own), device=own.device) + first_row(own)
    others = rows + len(every)
    scores = own.transpose(0, 1).flatten(0, 1) @ every.transpose(0, 1).flatten(0, 1).T
    scores = scores / temperature
    # no view is told from itself
    scores.scatter_(1, torch.cat([rows, others])[:, None], float("-inf"))
    return F.cross_entropy(scores, torch.cat([others, rows]))
