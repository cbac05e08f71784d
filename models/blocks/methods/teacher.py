"""A teacher: a copy of a network that follows it as the moving average of its weights.

The momentum encoder of He, Fan, Wu, Xie, Girshick 2020, "Momentum Contrast for Unsupervised Visual
Representation Learning", arXiv 1911.05722, section 3.2, equation 2; with a momentum that rises to
one, Grill et al. 2020, "Bootstrap Your Own Latent", arXiv 2006.07733, section 3.2.
"""

from copy import deepcopy
from math import cos, pi

import torch
from torch import nn

__all__ = ["Teacher", "rising_momentum"]


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
