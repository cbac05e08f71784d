"""The focal loss: golden values, torchvision's, gradients."""

import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import sigmoid_focal_loss

from models.blocks.detection.focal import focal_loss, prior_bias

LOGITS = 4 * torch.sin(0.37 * torch.arange(15.0, dtype=torch.float64)).view(5, 3)
POSITIVES = (torch.tensor([0, 2, 3]), torch.tensor([1, 0, 2]))
ONES = torch.ones(1, 1, dtype=torch.float64), torch.ones(3, dtype=torch.float64)


@pytest.mark.parametrize(
    ("alpha", "gamma", "expected"),
    [
        (0.25, 2.0, 12.6609669330),
        (0.5, 1.0, 10.0897921148),
        (0.75, 5.0, 5.4139269953),
        (0.25, 0.0, 14.9976711718),
        (None, 0.0, 22.3264997651),
    ],
)
def test_golden_values(alpha, gamma, expected):
    found = focal_loss(LOGITS, POSITIVES, *ONES, alpha, gamma)
    assert found.item() == pytest.approx(expected, rel=1e-8)
    targets = torch.zeros_like(LOGITS)
    targets[POSITIVES] = 1
    theirs = sigmoid_focal_loss(LOGITS, targets, -1 if alpha is None else alpha, gamma, "sum")
    assert found.item() == pytest.approx(theirs.item(), rel=1e-12)
    if gamma == 0 and alpha is None:
        entropy = F.binary_cross_entropy_with_logits(LOGITS, targets, reduction="sum")
        assert found.item() == pytest.approx(entropy.item(), rel=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 1.5, 2.0])
def test_gradients_and_weights(gamma):
    weights = torch.tensor([1.0, 0, 2, 0.5, 1], dtype=torch.float64)[:, None]
    gains = torch.tensor([1.0, 3, 0], dtype=torch.float64)
    logits = LOGITS.clone().requires_grad_()
    given = (logits, POSITIVES, weights, gains, 0.25, gamma)
    assert torch.autograd.gradcheck(lambda x: focal_loss(x, *given[1:]), (logits,))
    targets = torch.zeros_like(LOGITS)
    targets[POSITIVES] = 1
    each = sigmoid_focal_loss(LOGITS, targets, 0.25, gamma) * weights
    each[POSITIVES] *= gains / weights[POSITIVES[0], 0]
    torch.testing.assert_close(focal_loss(*given), each.sum())


def test_far_logits_and_none():
    far = torch.tensor([[-200.0, 200, 0]], requires_grad=True)
    none = (torch.empty(0, dtype=torch.int64),) * 2
    loss = focal_loss(far, none, torch.ones(1, 1), torch.empty(0))
    loss.backward()
    assert loss.item() == pytest.approx(0.75 * (200 + 0.25 * math.log(2)))
    assert far.grad.isfinite().all() and far.grad[0, 0] == 0
    empty = torch.empty(0, 3, requires_grad=True)
    assert focal_loss(empty, none, torch.ones(1, 1), torch.empty(0)) == 0


def test_the_bias_of_a_prior():
    assert prior_bias(0.01) == pytest.approx(-4.5951198501, abs=1e-10)
    assert torch.tensor(prior_bias(0.3)).sigmoid().item() == pytest.approx(0.3)
