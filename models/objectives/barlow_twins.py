"""Barlow Twins: two views of a batch are to have the identity as their cross-correlation.

Zbontar, Jing, Misra, LeCun, Deny 2021, "Barlow Twins: Self-Supervised Learning via Redundancy
Reduction", arXiv 2103.03230, section 2, equations 1 and 2, and appendix A.

The paper's recipe (LARS of You, Gitman, Ginsburg 2017, arXiv 1708.03888, which biases and norms are
left out of: those that have no weight decay), for 1000 epochs:

    {batch: 2048, rate: 0.2, start: 0, warmup: 10, schedule: cosine_after_warmup, floor: 0.0016,
     optimizer: {name: lars, momentum: 0.9}, weight_decay: 1.0e-6, undecayed_rate: 0.024}

Its rate of 0.0048 for biases and norms is 0.024 of that of the weights. The floor is a thousandth
of the peak of 0.2 x 2048 / 256.
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.augment.crops import BARLOW, Crops
from models.blocks.gather import gather
from models.blocks.methods.multiview import MultiView, each_view, wide
from models.blocks.methods.projector import projector
from models.blocks.ranges import Least, Plug, Width

__all__ = ["BarlowTwins", "correlations"]


class BarlowTwins(MultiView):
    """image (n, v, 3, h, w), of which the first two views are compared.

    views: what makes them; null: crops with the paper's distortions.
    hidden: channels between the three layers of the projector.
    width: numbers that a projection has.
    redundancy: lambda, the weight of the correlations of different numbers.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        views: Plug[Callable, "views"] | None = None,  # noqa: F821
        hidden: Width = 8192,
        width: Width = 8192,
        redundancy: Least = 0.0051,
    ) -> None:
        super().__init__(backbone, head, views or partial(Crops, **BARLOW))
        widths = (self.width, hidden, hidden, width)
        self.projector = projector(widths, bias=False, last_bias=False)
        self.redundancy = redundancy

    def forward(self, batch: dict[str, Tensor], phase: str = "") -> dict[str, Tensor]:
        projected = each_view(self.pooled(batch["image"][:, :2]), self.projector)
        on, off = correlations(*projected.unbind(1))
        return {"loss": on + self.redundancy * off, "on_diagonal": on, "off_diagonal": off}


def correlations(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Invariance and redundancy of two views (n, d) of the samples of all workers, equation 1.

    The sum over the diagonal of (1 - c)^2, and over the rest of c^2. Each worker has the whole.
    """
    # a product of matrices would be in half precision again
    with torch.autocast(first.device.type, enabled=False):
        first, second = (_standardised(gather(wide(view))) for view in (first, second))
        n, d = first.shape
        diagonal = (first * second).sum(0) / n
        # (n, n) products have the same sum of squares: tr(A'B B'A) = tr(AA' BB')
        if 2 * n < d:
            squares = ((first @ first.T) * (second @ second.T)).sum() / n**2
        else:
            squares = (first.T @ second).square().sum() / n**2
        return (1 - diagonal).square().sum(), squares - diagonal.square().sum()


def _standardised(views: Tensor) -> Tensor:
    """Each number of mean 0 and variance 1 over the batch: batch norm without scale and shift."""
    return F.batch_norm(views, None, None, training=True)
