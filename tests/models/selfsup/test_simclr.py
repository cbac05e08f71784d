"""SimCLR: golden values, symmetry, the loss as it is written, and as another library has it."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.objectives.simclr import nt_xent
from tests.models.selfsup.toys import Normless, method, waves

FIRST, SECOND = waves((4, 8), 0), waves((4, 8), 1)


def test_nt_xent_is_golden():
    assert nt_xent(FIRST, SECOND, 0.1).item() == pytest.approx(3.7558093140, rel=1e-8)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_it_is_equation_1(temperature):
    z = F.normalize(torch.cat([FIRST, SECOND]), dim=1)
    losses = []
    for i in range(8):
        alike = [(z[i] @ other / temperature).exp() for other in z]
        others = sum(alike[:i] + alike[i + 1 :])
        losses.append(-(alike[(i + 4) % 8] / others).log())
    torch.testing.assert_close(nt_xent(FIRST, SECOND, temperature), sum(losses) / 8)


def test_it_is_symmetric_and_of_samples_in_any_order():
    order = torch.tensor([2, 0, 3, 1])
    loss = nt_xent(FIRST, SECOND, 0.1)
    torch.testing.assert_close(nt_xent(SECOND, FIRST, 0.1), loss)
    torch.testing.assert_close(nt_xent(FIRST[order], SECOND[order], 0.1), loss)
    # lengths do not count
    torch.testing.assert_close(nt_xent(3 * FIRST, 0.2 * SECOND, 0.1), loss)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_it_is_that_of_lightly(temperature):
    loss = pytest.importorskip("lightly.loss").NTXentLoss(temperature=temperature)
    found = nt_xent(FIRST, SECOND, temperature)
    torch.testing.assert_close(found, loss(FIRST, SECOND), rtol=1e-7, atol=0)


def test_both_views_have_a_gradient():
    views = [each.clone().requires_grad_() for each in (FIRST, SECOND)]
    nt_xent(*views, 0.1).backward()
    assert all((view.grad.abs().sum(1) > 0).all() for view in views)


def test_half_precision_is_compared_in_float32():
    loss = nt_xent(FIRST.bfloat16(), SECOND.bfloat16(), 0.1)
    assert loss.dtype == torch.float32


@pytest.mark.parametrize("norm", [True, False])
def test_the_projector_has_norms_or_biases(norm):
    layers = method("simclr", Normless(), norm=norm, hidden=12, width=6).projector
    kinds = [type(layer) for layer in layers]
    if norm:
        linear, after = nn.Linear, nn.BatchNorm1d
        assert kinds == [linear, after, nn.ReLU, linear, after] and layers[0].bias is None
    else:
        assert kinds == [nn.Linear, nn.ReLU, nn.Linear] and layers[2].bias is not None
    assert (layers[0].out_features, layers[-1 - norm].out_features) == (12, 6)


def test_the_first_two_of_several_views_are_compared():
    torch.manual_seed(0)
    module = method("simclr", Normless(), norm=False).double()
    views = waves((4, 4, 3, 16, 16), 0.5)
    loss = module({"image": views})["loss"]
    torch.testing.assert_close(module({"image": views[:, :2]})["loss"], loss)
    projected: list[Tensor] = [module.embedded(views[:, place]) for place in (0, 1)]
    torch.testing.assert_close(nt_xent(*projected, 0.1), loss)
