"""BYOL: from one view of a sample to what a slowly moving teacher makes of the other.

Grill et al. 2020, "Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning", arXiv
2006.07733, section 3.1, equation 2, and section 3.2. Several clips of a video, with `temperature`
and `sequential`: Feichtenhofer, Fan, Xiong, Girshick, He 2021, "A Large-Scale Study on Unsupervised
Spatiotemporal Representation Learning", arXiv 2104.14558, section 3.

The paper's recipe for 1000 epochs (LARS leaves out biases and norms: those without weight decay):

    {batch: 4096, rate: 0.2, start: 0, warmup: 10, schedule: cosine_after_warmup,
     optimizer: {name: lars, momentum: 0.9}, weight_decay: 1.5e-6}
"""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.augment.crops import BYOL as DISTORTIONS
from models.blocks.augment.crops import Crops
from models.blocks.methods.multiview import each_view, wide
from models.blocks.methods.projector import projector
from models.blocks.methods.teacher import Taught
from models.blocks.ranges import Plug, Positive, Share, Width

__all__ = ["BYOL", "distance"]


class BYOL(Taught):
    """image (n, v, 3, h, w): of two views each is predicted from the other, both ways.

    views: what makes them; null: crops with the paper's unlike distortions of the two.
    hidden: channels between the two layers of the projector, and of the predictor.
    width: numbers that a projection has.
    momentum: share of itself that the teacher keeps in the first step; it rises to one.
    temperature: the loss is -cosine / temperature; null: 2 - 2 cosine, which has the gradient of
        a temperature of 0.5.
    sequential: the first view predicts what the teacher makes of every view, of itself too, in the
        place of two views that predict each other.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        views: Plug[Callable, "views"] | None = None,  # noqa: F821
        hidden: Width = 4096,
        width: Width = 256,
        momentum: Share = 0.996,
        temperature: Positive | None = None,
        sequential: bool = False,
    ) -> None:
        own = projector((backbone.channels[-1], hidden, width))
        super().__init__(backbone, head, views or partial(Crops, **DISTORTIONS), own, momentum)
        self.predictor = projector((width, hidden, width))
        self.temperature, self.sequential = temperature, sequential

    def forward(self, batch: dict[str, Tensor], phase: str = "") -> dict[str, Tensor]:
        views = batch["image"]
        predicting = views[:, :1] if self.sequential else views[:, :2]
        found = each_view(self.pooled(predicting), self.projector, self.predictor)
        with torch.no_grad():
            taught = views if self.sequential else views[:, :2]
            keys = self.pooled(taught, self.teacher.backbone)
            keys = each_view(keys, self.teacher.projector)
        if self.sequential:
            apart = distance(found.expand_as(keys), keys, self.temperature)
            return {"loss": apart.mean()}
        # a row has both losses: each view is predicted from the other
        return {"loss": distance(found, keys.flip(1), self.temperature).sum(1).mean()}


def distance(found: Tensor, keys: Tensor, temperature: float | None = None) -> Tensor:
    """Of predictions (n, v, d) from what is predicted: 2 - 2 cosine, or -cosine / temperature."""
    found, keys = (F.normalize(wide(vectors), dim=2) for vectors in (found, keys))
    cosine = (found * keys).sum(2)
    return 2 - 2 * cosine if temperature is None else -cosine / temperature
