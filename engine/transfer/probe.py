"""Linear probe: L2-regularised logistic regression on frozen features.

Mahajan et al. 2018 (arXiv 1805.00932), section 3.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def logistic_regression(
    features: Tensor, labels: Tensor, classes: int, l2: float
) -> tuple[Tensor, Tensor]:
    """(weight (classes, d), bias (classes,)) of least cross-entropy + l2/2 * |weight|^2.

    Found by L-BFGS.

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
        value = cross_entropy(x @ weight.T + bias, labels) + l2 / 2 * weight.square().sum()
        value.backward()
        return value

    solver.step(loss)
    folded = weight.detach() / deviation
    return folded.float(), (bias.detach() - folded @ mean).float()
