"""The focal loss: what is told apart easily counts less, so that the many negatives do not rule.

Lin, Goyal, Girshick, He, Dollar 2017, "Focal Loss for Dense Object Detection", arXiv 1708.02002,
section 3: FL = -a_t (1 - p_t)^gamma log p_t, equation 5.
"""

from math import log
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["focal_loss", "prior_bias"]


def prior_bias(prior: float) -> float:
    """The bias of a logit at which its probability is `prior`: section 4.1, initialization."""
    return -log((1 - prior) / prior)


def focal_loss(
    logits: Tensor,
    positives: tuple[Tensor, ...],
    weights: Tensor,
    gains: Tensor,
    alpha: float | None = 0.25,
    gamma: float = 2.0,
) -> Tensor:
    """The weighted sum of the focal losses of all logits, each a binary classification.

    logits: float32 of any shape.
    positives: a tensor of places per axis of the logits, (m,) each; none twice. All others are
        negatives.
    weights: of the negatives, of a shape that broadcasts to that of the logits; 0 leaves out.
    gains: weights of the positives (m,).
    alpha: weight of positives, of negatives 1 - alpha; None: 1 for both.
    gamma: how much less what is told apart easily counts; 0: cross entropy.
    """
    below, above = (1.0, 1.0) if alpha is None else (1 - alpha, alpha)
    return _Focal.apply(logits, positives, weights * below, gains * above, gamma)


class _Focal(torch.autograd.Function):
    """Negatives are most: targets are not laid out for them, and the gradient is taken at once."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        positives: tuple[Tensor, ...],
        weights: Tensor,
        gains: Tensor,
        gamma: float,
    ) -> Tensor:
        # of a positive all is as of a negative with the opposite logit
        cost, slope = _negative(logits, gamma)
        own, own_slope = _negative(-logits[positives], gamma)
        cost[positives] = 0
        slope *= weights
        slope[positives] = -own_slope * gains
        ctx.save_for_backward(slope)
        return cost.mul_(weights).sum() + (own * gains).sum()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple:
        (slope,) = ctx.saved_tensors
        return slope * gradient, None, None, None, None


def _negative(logits: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """The loss of negatives, p^gamma softplus(x), and its derivative by the logit x."""
    p, cost = logits.sigmoid(), F.softplus(logits)
    if gamma == 0:
        return cost, p
    # p^gamma (gamma (1 - p) softplus(x) + p)
    slope = (1 - p).mul_(gamma).mul_(cost).add_(p)
    easy = p.square() if gamma == 2 else p.pow(gamma)
    return cost.mul_(easy), slope.mul_(easy)
