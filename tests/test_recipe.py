"""Goyal et al. 2017 and Mahajan et al. 2018 to the digit: learning rates, weight decay, minibatches, momentum."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

from engine.build import build
from engine.recipe import Recipe, learning_rate, optimizer

GOYAL = Recipe(batch=8192, rate=0.1, warmup=5, schedule="steps")
MAHAJAN = Recipe(batch=8064, rate=0.1, warmup=1, schedule="halving")


@pytest.mark.parametrize(
    ("iteration", "expected"),
    [
        (0, 0.1),  # not 0
        (156, 0.72),
        (5 * 156, 3.2),
        (30 * 156 - 1, 3.2),
        (30 * 156, 0.32),
        (60 * 156 - 1, 0.32),
        (60 * 156, 0.032),
        (80 * 156 - 1, 0.032),
        (80 * 156, 0.0032),
        (90 * 156 - 1, 0.0032),
    ],
)
def test_imagenet_in_one_hour(iteration, expected):
    assert learning_rate(GOYAL, iteration, 90 * 156, 156) == pytest.approx(expected)


def test_reference_minibatch_has_the_reference_rate():
    assert learning_rate(Recipe(batch=256, schedule="constant"), 10**6, 10**7, 100) == 0.1


def test_hashtag_pretraining_halves_ten_times():
    rates = [learning_rate(MAHAJAN, i, 2200, 100) for i in range(100, 2200)]
    assert rates[0] == pytest.approx(3.15)
    drops = [100 + i for i, (a, b) in enumerate(pairwise(rates), 1) if a != b]
    assert drops == list(range(200, 2200, 200))
    assert rates[-1] == pytest.approx(3.15 / 2**10)


@pytest.mark.parametrize("warmup", [5, 0.5])
def test_warmup_grows_by_a_constant_every_iteration(warmup):
    recipe = Recipe(batch=8192, warmup=warmup, schedule="constant")
    end = round(warmup * 156)
    increments = [b - a for a, b in pairwise(learning_rate(recipe, i, 14040, 156) for i in range(end + 1))]
    assert increments == pytest.approx([3.1 / end] * end)


@pytest.mark.parametrize("schedule", ["cosine", "steps", "halving", "constant"])
def test_warmup_of_a_small_minibatch_never_overshoots(schedule):
    recipe = Recipe(batch=64, schedule=schedule)
    rates = [learning_rate(recipe, i, 900, 10) for i in range(900)]
    assert rates[0] == max(rates) == pytest.approx(0.025)
    assert rates == sorted(rates, reverse=True)


def test_cosine_ends_near_zero():
    recipe = Recipe(batch=256, warmup=0, schedule="cosine")
    assert learning_rate(recipe, 0, 1000, 10) == 0.1
    assert learning_rate(recipe, 500, 1000, 10) == pytest.approx(0.05)
    assert 0 < learning_rate(recipe, 999, 1000, 10) < 1e-6


@pytest.mark.parametrize("wrong", [{"batch": 0}, {"rate": 0.0}, {"warmup": -1.0}])
def test_impossible_recipes_are_refused(wrong):
    with pytest.raises(ValueError, match="batch >= 1, rate > 0 and warmup >= 0"):
        Recipe(**wrong)


@pytest.mark.parametrize("decay_norms", [False, True])
def test_weight_decay_leaves_out_exactly_the_norms(decay_norms):
    backbone = build("backbones", {"name": "regnet", "depth": 3, "w_0": 16, "w_a": 8, "w_m": 2, "group_width": 8})
    module = nn.ModuleDict({"net": backbone, "group": nn.GroupNorm(2, 4), "layer": nn.LayerNorm(4)})
    module["fc"] = nn.Linear(4, 4)
    module["fixed"] = nn.Linear(4, 4).requires_grad_(False)
    for parameter in module.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    solver = optimizer(Recipe(weight_decay=0.5, momentum=0, nesterov=False, decay_norms=decay_norms), module)
    solver.step()
    kept = {name for name, p in module.named_parameters() if torch.equal(p, torch.ones_like(p))}
    norms = {
        f"{layer}.{name}"
        for layer, m in module.named_modules()
        if isinstance(m, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm)
        for name in ("weight", "bias")
    }
    assert kept == {"fixed.weight", "fixed.bias"} | (set() if decay_norms else norms)
    assert module["fc"].bias.detach().tolist() == pytest.approx([0.95] * 4)  # rate 0.1, decay 0.5; biases decay too


class Plain(nn.Module):
    """A backbone without batch norm, whose statistics depend on the shard."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, inputs):
        return [self.conv(inputs).relu()]


def gradients(method: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    loss = method({"inputs": inputs, "targets": targets})["loss"]
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(method.parameters()))])


@pytest.mark.parametrize("name", ["hashtags", "supervised"])
def test_one_big_minibatch_is_the_mean_of_its_shards(name):
    torch.manual_seed(0)
    head = build("heads", {"name": "linear"}, channels=[8], classes=5)
    method = build("objectives", {"name": name}, backbone=Plain(), head=head).double()
    inputs = torch.randn(32, 3, 6, 6, dtype=torch.float64)
    tags = (torch.rand(32, 5) < 0.4).double()
    assert (tags.sum(1) == 0).any()  # an image without a hashtag stays in the normaliser
    targets = tags if name == "hashtags" else torch.randint(5, (32,))
    shards = [gradients(method, x, t) for x, t in zip(inputs.split(8), targets.split(8), strict=True)]
    torch.testing.assert_close(torch.stack(shards).mean(0), gradients(method, inputs, targets), atol=1e-15, rtol=1e-12)


def test_momentum_needs_no_correction_when_the_rate_changes():
    """Goyal et al. 2017, remark 2: equation 9 with the rate inside the momentum is ours only if corrected."""
    torch.manual_seed(0)
    module = nn.Linear(4, 3).double()
    recipe = Recipe(batch=8192, warmup=1, schedule="steps", nesterov=False, weight_decay=0.01)
    solver, w, v, last = optimizer(recipe, module), copy.deepcopy(module.weight.detach()), 0.0, 1.0
    for iteration in range(12):
        rate = learning_rate(recipe, iteration, 12, 4)
        for group in solver.param_groups:
            group["lr"] = rate
        gradient = torch.sin(w + iteration)
        module.weight.grad = torch.sin(module.weight.detach() + iteration)
        solver.step()
        v = recipe.momentum * (rate / last) * v + rate * (gradient + recipe.weight_decay * w)
        w, last = w - v, rate
    torch.testing.assert_close(module.weight.detach(), w, atol=1e-13, rtol=1e-13)
