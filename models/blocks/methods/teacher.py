"""A teacher: a copy of a network that follows it as the moving average of its weights.

The momentum encoder of He, Fan, Wu, Xie, Girshick 2020, "Momentum Contrast for Unsupervised Visual
Representation Learning", arXiv 1911.05722, section 3.2, equation 2; with a momentum that rises to
one, Grill et al. 2020, "Bootstrap Your Own Latent", arXiv 2006.07733, section 3.2.
"""

from collections.abc import Callable
from copy import deepcopy
from math import cos, pi

import torch
from torch import nn

from models.blocks.methods.method import Pace
from models.blocks.methods.multiview import MultiView

__all__ = ["Taught", "Teacher", "rising_momentum"]


class Teacher(nn.Module):
    """Copies of modules, by name, which gradients never reach.

    Buffers, as batch norm's running averages, are not copied: they are of what the teacher sees.
    """

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, deepcopy(part).requires_grad_(False))

    @torch.no_grad()
    def follow(self, momentum: float, **parts: nn.Module) -> None:
        """Weights become `momentum` of what they are and the rest of those of `parts`."""
        for name, part in parts.items():
            own = self.get_submodule(name).parameters()
            for weight, followed in zip(own, part.parameters(), strict=True):
                weight.lerp_(followed, 1 - momentum)


def rising_momentum(first: float, progress: float) -> float:
    """`first` at the start, one at the end: 1 - (1 - first) (cos(pi progress) + 1) / 2."""
    return 1 - (1 - first) * (cos(pi * progress) + 1) / 2


class Taught(MultiView):
    """An objective but for its loss: `teacher` follows backbone and projector after each step.

    projector: of the features of the backbone.
    momentum: share of itself that the teacher keeps in the first step; it rises to one.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        augment: Callable[..., nn.Module],
        projector: nn.Module,
        momentum: float,
    ) -> None:
        super().__init__(backbone, head, augment)
        self.projector = projector
        self.teacher = Teacher(backbone=backbone, projector=projector)
        self.first_momentum = self.momentum = momentum

    def before_step(self, pace: Pace) -> None:
        if pace.iteration == 0:
            # the backbone may have been loaded since the teacher was copied
            self.follow(0)
        self.momentum = rising_momentum(self.first_momentum, pace.progress)

    def after_step(self, progress: float) -> None:
        self.follow(self.momentum)

    def follow(self, momentum: float) -> None:
        """The teacher comes nearer to the network."""
        self.teacher.follow(momentum, backbone=self.backbone, projector=self.projector)

    def monitors(self) -> dict[str, float]:
        """The teacher's momentum in this step."""
        return {"momentum": self.momentum}
