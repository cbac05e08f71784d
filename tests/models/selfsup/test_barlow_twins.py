"""Barlow Twins: golden values, invariances, the projector's size, the paper's optimizer."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.core.network import network
from engine.training.optimizers import optimizer
from engine.training.recipe import Recipe, learning_rate
from models.blocks.augment.draws import Draws
from models.objectives.barlow_twins import BarlowTwins, correlations
from tests.support.networks import TINY

LAMBDA = 0.0051


def sines(*shape: int, shift: float = 0.0) -> Tensor:
    count = torch.Size(shape).numel()
    return (0.37 * torch.arange(count, dtype=torch.float64) + shift).sin().reshape(shape)


def noise(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def objective(**options) -> nn.Module:
    torch.manual_seed(0)
    section = {"name": "barlow_twins", "hidden": 24, "width": 16} | options
    return network(TINY | {"stem_stride": 1}, section, {"name": "linear"}, classes=4)


def some_views(method: nn.Module, n: int = 8) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (n, 16, 16, 3), dtype=torch.uint8, generator=generator)
    return method.views({"image": images}, Draws(torch.Generator().manual_seed(2)))


def formula(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Equations 1 and 2 as they are written, a loop over every pair of numbers."""

    def standard(view: Tensor) -> Tensor:
        return (view - view.mean(0)) / (view.var(0, unbiased=False) + 1e-5).sqrt()

    first, second = standard(first), standard(second)
    on = off = torch.zeros((), dtype=torch.float64)
    for i in range(first.shape[1]):
        for j in range(first.shape[1]):
            c = (first[:, i] * second[:, j]).mean()
            if i == j:
                on = on + (1 - c) ** 2
            else:
                off = off + c**2
    return on, off


def test_the_golden_value():
    on, off = correlations(sines(8, 6), sines(8, 6, shift=0.5))
    assert on.item() == pytest.approx(0.0850419282, rel=1e-8)
    assert off.item() == pytest.approx(15.1888464486, rel=1e-8)
    assert (on + LAMBDA * off).item() == pytest.approx(0.1625050451, rel=1e-8)


def test_equal_views_correlate_but_for_the_epsilon():
    on, _ = correlations(sines(8, 6), sines(8, 6))
    assert on.item() == pytest.approx(2.5e-9, rel=0.01)


@pytest.mark.parametrize(("n", "d"), [(8, 6), (9, 16), (4, 12), (5, 40)])
def test_small_batches_and_large_ones_are_the_formula_with_its_gradient(n, d):
    """Above and below n = d / 2, where the products are others."""
    views = noise(n, d), noise(n, d, seed=1)
    gradients = []
    for found in (correlations, formula):
        leaves = [view.clone().requires_grad_() for view in views]
        on, off = found(*leaves)
        torch.testing.assert_close([on, off], [*formula(*views)], rtol=1e-10, atol=1e-10)
        (on + LAMBDA * off).backward()
        gradients.append([leaf.grad for leaf in leaves])
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("n", "d"), [(8, 6), (4, 12)])
def test_what_does_not_change_it(n, d):
    first, second = noise(n, d), noise(n, d, seed=1)
    expected = correlations(first, second)
    rows = torch.randperm(n, generator=torch.Generator().manual_seed(3))
    numbers = torch.randperm(d, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(correlations(second, first), expected)
    torch.testing.assert_close(correlations(first[rows], second[rows]), expected)
    torch.testing.assert_close(correlations(first[:, numbers], second[:, numbers]), expected)
    # not exactly: the epsilon of the variance is of the numbers' own scale
    scale, shift = 0.5 + 100 * torch.rand(d, dtype=torch.float64), noise(d, seed=5)
    found = correlations(first * scale + shift, second * scale.flip(0))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    # one view alone in another order is another pairing
    with pytest.raises(AssertionError):
        torch.testing.assert_close(correlations(first[rows], second), expected)


@pytest.mark.parametrize(("n", "d"), [(8, 6), (12, 9)])
def test_parity_with_lightly(n, d):
    """Its default of lambda is 0.005, that of the authors' code 0.0051."""
    loss = pytest.importorskip("lightly.loss")
    first, second = noise(n, d), noise(n, d, seed=1)
    on, off = correlations(first, second)
    for weight in (5e-3, LAMBDA):
        theirs = loss.BarlowTwinsLoss(lambda_param=weight)(first, second)
        torch.testing.assert_close(on + weight * off, theirs, rtol=1e-9, atol=0)


def test_the_papers_projector():
    backbone, head = nn.Module(), nn.Linear(1, 1)
    backbone.channels = [2048]
    with torch.device("meta"):
        method = BarlowTwins(backbone, head)
    projector = method.projector
    assert sum(p.numel() for p in projector.parameters()) == 151_027_712
    assert method.redundancy == LAMBDA
    linear = [layer for layer in projector if isinstance(layer, nn.Linear)]
    assert len(linear) == 3 and all(layer.bias is None for layer in linear)
    assert isinstance(projector[-1], nn.Linear)


def test_the_loss_is_of_the_first_two_views_and_of_both_parts():
    method = objective(redundancy=0.5)
    view = some_views(method)
    found = method(view)
    assert found.keys() == {"loss", "on_diagonal", "off_diagonal"}
    torch.testing.assert_close(found["loss"], found["on_diagonal"] + 0.5 * found["off_diagonal"])
    more = {"image": torch.cat([view["image"], view["image"].flip(1)], 1)}
    torch.testing.assert_close(method(more)["loss"], found["loss"])


def test_every_weight_that_is_trained_has_a_gradient():
    method = objective()
    with torch.no_grad():
        for parameter in method.parameters():
            # norms start at zero that would keep gradients from what is below them
            parameter.add_(0.1 * torch.randn_like(parameter))
    method(some_views(method))["loss"].backward()
    trained = {name: p for name, p in method.named_parameters() if p.requires_grad}
    assert not any(name.startswith("head.") for name in trained)
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained.values())
    assert {name.partition(".")[0] for name in method.export()} == {"backbone", "head"}


def test_a_batch_in_half_precision_is_compared_in_whole():
    views = [noise(16, 48, seed=seed).float() for seed in (0, 1)]
    with torch.autocast("cpu", torch.bfloat16):
        inside = correlations(*views)
    assert inside[0].dtype == torch.float32
    torch.testing.assert_close(inside, correlations(*views))


class Linears(nn.Module):
    """Two layers and a norm, in the place of an objective."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
        self.layers[1].weight.data.uniform_(0.5, 1.5)

    def loss(self, inputs: Tensor) -> Tensor:
        return self.layers(inputs).tanh().square().sum()


def paper_step(
    weights: list[Tensor], gradients: list[Tensor], kept: list[Tensor], rates: tuple[float, float]
) -> None:
    """LARS of the authors' code: vectors, biases and norms, neither decay nor adapt."""
    for place, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
        rate = rates[0]
        if weight.ndim == 1:
            rate = rates[1]
        else:
            gradient = gradient + 1e-6 * weight
            gradient = gradient * 0.001 * weight.norm() / gradient.norm()
        kept[place] = 0.9 * kept[place] + gradient
        weights[place] = weight - rate * kept[place]


def test_the_optimizer_is_the_papers():
    """But for the norm of gradient plus decay, which is that of each: 1e-6 of the weights."""
    lars = {"name": "lars", "momentum": 0.9}
    recipe = Recipe(2048, 0.2, optimizer=lars, weight_decay=1e-6, undecayed_rate=0.024)
    module = Linears().double()
    made = optimizer(recipe, module)
    weights = [p.detach().clone() for p in module.parameters()]
    kept = [torch.zeros_like(weight) for weight in weights]
    for step in range(3):
        rate = recipe.peak * (step + 1) / 3
        for group in made.param_groups:
            group["lr"] = rate * group["scale"]
        module.zero_grad()
        module.loss(noise(6, 5, seed=step)).backward()
        paper_step(weights, [p.grad for p in module.parameters()], kept, (rate, rate * 0.024))
        made.step()
    for found, weight in zip(module.parameters(), weights, strict=True):
        torch.testing.assert_close(found.detach(), weight, rtol=1e-6, atol=1e-9)


def test_the_rates_are_the_papers():
    """0.2 and 0.0048 for 256 samples, up in 10 epochs, down to a thousandth."""
    about = {"rate": 0.2, "start": 0.0, "warmup": 10.0, "floor": 0.0016}
    recipe = Recipe(2048, schedule="cosine_after_warmup", undecayed_rate=0.024, **about)
    rates = [learning_rate(recipe, step, 1000 * 5, 5) for step in range(1000 * 5)]
    assert rates[0] == 0 and rates[50] == pytest.approx(1.6) and max(rates) == rates[50]
    assert rates[-1] == pytest.approx(0.0016, rel=1e-3)
    assert rates[50] * recipe.undecayed_rate == pytest.approx(0.0048 * 2048 / 256)
    # half-way down
    assert rates[50 + 4950 // 2] == pytest.approx((1.6 + 0.0016) / 2)


def test_it_learns_to_decorrelate():
    """Numbers of a projection start alike; the loss of a small layer falls."""
    torch.manual_seed(0)
    layer, samples = nn.Linear(12, 6).double(), noise(32, 12)
    descent = torch.optim.SGD(layer.parameters(), 0.1)
    losses = []
    for step in range(60):
        views = [layer(samples + 0.1 * noise(32, 12, seed=2 * step + k)) for k in (1, 2)]
        on, off = correlations(*views)
        losses.append((on + off).item())
        descent.zero_grad()
        (on + off).backward()
        descent.step()
    assert losses[-1] < 0.3 * losses[0]
    assert F.linear(samples, layer.weight).std(0).min() > 0.1
