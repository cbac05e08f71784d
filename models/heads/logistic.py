"""Linear probe: L2-regularised logistic regression on the features of a frozen backbone.

Mahajan et al. 2018, "Exploring the Limits of Weakly Supervised Pretraining", arXiv 1805.00932,
section 3: feature transfer.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from models.blocks.layers.classifying import LinearClassifier
from models.blocks.ranges import Least

__all__ = ["Logistic", "logistic_regression"]


class Logistic(LinearClassifier):
    """features, the last (n, channels[-1], h, w) -> logits (n, classes).

    l2: weight of the squared norm in the loss.
    """

    def __init__(
        self, channels: Sequence[int], classes: int, target: str = "label", l2: Least = 0.01
    ) -> None:
        super().__init__(channels, classes, target)
        self.l2 = l2

    def fit(self, features: Tensor, targets: Tensor) -> None:
        """The regression on features (n, d): classes (n,), or tags (n, classes) each by itself."""
        weight, bias = logistic_regression(features, targets, self.classes, self.l2)
        with torch.no_grad():
            self.fc.weight.copy_(weight)
            self.fc.bias.copy_(bias)


def logistic_regression(
    features: Tensor, targets: Tensor, classes: int, l2: float
) -> tuple[Tensor, Tensor]:
    """(weight (classes, d), bias (classes,)) of least cross-entropy + l2/2 * |weight|^2.

    Found by L-BFGS. Of multi-hot targets (n, classes) it is the sum over the classes, each of which
    is a regression of its own.

    Features (n, d) are standardised first and the scaling is folded into the result, so that `l2`
    means the same for every network. The problem is convex: the result does not depend on a seed.
    """
    # a feature that is the same in all samples has no deviation to divide by
    mean, deviation = features.double().mean(0), features.double().std(0).clamp_min(1e-6)
    x = (features.double() - mean) / deviation
    weight = torch.zeros(classes, x.shape[1], dtype=x.dtype, device=x.device, requires_grad=True)
    bias = torch.zeros(classes, dtype=x.dtype, device=x.device, requires_grad=True)
    # stop by the gradient alone: a small change of the loss stops early where curvature is low
    stop = {"max_iter": 200, "tolerance_grad": 1e-6, "tolerance_change": 0.0}
    solver = torch.optim.LBFGS([weight, bias], **stop, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        value = _entropy(x @ weight.T + bias, targets) + l2 / 2 * weight.square().sum()
        value.backward()
        return value

    solver.step(loss)
    folded = weight.detach() / deviation
    return folded.float(), (bias.detach() - folded @ mean).float()


def _entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy, averaged over the samples."""
    if targets.ndim == 1:
        return F.cross_entropy(logits, targets)
    several = F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype), reduction="none")
    return several.sum(1).mean()
