"""Goyal et al. 2017, Mahajan et al. 2018 and Caron et al. 2021 to the digit: learning rates,
weight decay, minibatches, momentum.
"""

import copy
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from engine.core.build import build
from engine.training.optimizers import optimizer
from engine.training.recipe import Recipe, learning_rate, weight_decay
from models.blocks.methods.method import Pace
from models.blocks.methods.teacher import rising_momentum
from tests.engine.training.toys import Plain

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


# Caron et al. 2021 (DINO), by the values of facebookresearch/dino's schedules: 10 epochs of 4 steps
DINO = Recipe(
    batch=256,
    rate=0.0005,
    warmup=2,
    start=0,
    schedule="cosine_after_warmup",
    floor=1e-6,
    weight_decay=0.04,
    decay_end=0.4,
)


@pytest.mark.parametrize(
    ("iteration", "expected"),
    [
        (0, 0.0),
        (1, 7.1428571429e-5),
        (7, 5e-4),  # the last of the warm-up and the first of the cosine are both the peak
        (8, 5e-4),
        (9, 4.9879858930e-4),
        (24, 2.5050e-4),
        (39, 2.2014106953e-6),  # the last step is above the floor
    ],
)
def test_learning_rate_of_dino(iteration, expected):
    assert learning_rate(DINO, iteration, 40, 4) == pytest.approx(expected, rel=1e-10)


def test_learning_rate_of_dino_scales_with_the_minibatch():
    quarter = replace(DINO, batch=64)
    assert quarter.peak == pytest.approx(0.000125)
    # the floor does not scale
    last = 1e-6 + (1.25e-4 - 1e-6) * (2.2014106953e-6 - 1e-6) / (5e-4 - 1e-6)
    assert learning_rate(quarter, 39, 40, 4) == pytest.approx(last, rel=1e-8)


@pytest.mark.parametrize(
    ("iteration", "decay", "momentum"),
    [
        (0, 0.04, 0.996),
        (1, 0.0405548799, 0.9960061653),
        (20, 0.22, 0.998),
        (39, 0.3994451201, 0.9999938347),
    ],
)
def test_weight_decay_and_momentum_of_dino(iteration, decay, momentum):
    """Both of the steps before an iteration, as a share of all: warm-up does not count."""
    progress = Pace(iteration, 40, 4).progress
    assert weight_decay(DINO, progress) == pytest.approx(decay, rel=1e-9)
    assert rising_momentum(0.996, progress) == pytest.approx(momentum, rel=1e-10)


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
    rates = [learning_rate(recipe, i, 14040, 156) for i in range(end + 1)]
    assert np.diff(rates) == pytest.approx([3.1 / end] * end)


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
    with pytest.raises(ValueError, match="batch >= 1, rate > 0, per >= 1 and warmup >= 0"):
        Recipe(**wrong)


PLAIN = {"name": "sgd"}


@pytest.mark.parametrize("undecayed", [(), ("norms",), ("biases",), ("norms", "biases")])
def test_weight_decay_leaves_out_exactly_what_it_is_told(undecayed):
    backbone = build(
        "backbones", {"name": "regnet", "depth": 3, "w_0": 16, "w_a": 8, "w_m": 2, "group_width": 8}
    )
    module = nn.ModuleDict({"net": backbone, "group": nn.GroupNorm(2, 4), "layer": nn.LayerNorm(4)})
    module["fc"] = nn.Linear(4, 4)
    module["fixed"] = nn.Linear(4, 4).requires_grad_(False)
    for parameter in module.parameters():
        nn.init.ones_(parameter)
        parameter.grad = torch.zeros_like(parameter)
    optimizer(Recipe(weight_decay=0.5, optimizer=PLAIN, undecayed=undecayed), module).step()
    kept = {name for name, p in module.named_parameters() if torch.equal(p, torch.ones_like(p))}
    norms = {
        f"{layer}.{name}"
        for layer, m in module.named_modules()
        if isinstance(m, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm)
        for name in ("weight", "bias")
    }
    expected = {"norms": norms, "biases": {"fc.bias"}}
    assert kept == {"fixed.weight", "fixed.bias"}.union(*(expected[kind] for kind in undecayed))
    assert module["fc"].weight.detach()[0].tolist() == pytest.approx(
        [0.95] * 4
    )  # rate 0.1, decay 0.5


def objective() -> nn.Module:
    backbone = build(
        "backbones", {"name": "regnet", "depth": 3, "w_0": 16, "w_a": 8, "w_m": 2, "group_width": 8}
    )
    head = build("heads", {"name": "linear"}, channels=backbone.channels, classes=5)
    return build("objectives", {"name": "supervised"}, backbone=backbone, head=head)


def test_rates_fall_by_layer_from_the_head_down():
    module = objective()
    solver = optimizer(Recipe(layer_decay=0.5, optimizer=PLAIN), module)
    scale = {id(p): group["scale"] for group in solver.param_groups for p in group["params"]}
    layers = module.backbone.layers()
    assert len(scale) == len(list(module.parameters())) and scale[id(module.head.fc.weight)] == 1
    for height, layer in enumerate(reversed(layers), 1):
        assert {scale[id(p)] for p in layer.parameters()} == {0.5**height}


@pytest.mark.parametrize("name", ["sgd", "adamw", "lars", "lamb"])
def test_every_optimizer_lowers_the_loss(name):
    torch.manual_seed(0)
    module, x, y = objective(), torch.randn(16, 3, 32, 32), torch.randint(5, (16,))
    solver = optimizer(
        Recipe(optimizer={"name": name}, rate=0.01 if name in ("adamw", "lamb") else 1.0), module
    )
    losses = []
    for _ in range(12):
        losses.append(module({"image": x, "label": y})["loss"])
        losses[-1].backward()
        solver.step()
        solver.zero_grad()
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ({"name": "adam"}, "unknown name 'adam'.*sgd, adamw, lars, lamb"),
        ({"momentum": 0.9}, "unknown name 'missing'"),
        ({"name": "sgd", "momentun": 0.9}, "did you mean 'momentum'"),
        ({"name": "sgd", "lr": 0.1}, "'lr' is set by the code"),
        (
            {"name": "sgd", "momentum": -1},
            r"recipe\.optimizer\.momentum = -1: Input should be greater",
        ),
        (
            {"name": "sgd", "nesterov": True},
            "recipe.optimizer: Nesterov momentum requires a momentum",
        ),
        (
            {"name": "adamw", "betas": [0.9, 1]},
            r"recipe\.optimizer\.betas\.1 = 1: Input should be less than 1",
        ),
        (
            {"name": "lars", "trust_coeff": "0.1"},
            r"recipe\.optimizer\.trust_coeff = '0\.1': give a number",
        ),
        ({"name": "lamb", "eps": 0}, r"recipe\.optimizer\.eps = 0: Input should be greater than 0"),
    ],
)
def test_unknown_optimizers_and_settings_are_told(section, fault):
    with pytest.raises(ValueError, match=fault):
        optimizer(Recipe(optimizer=section), nn.Linear(2, 2))


def test_the_rule_is_told():
    assert str(Recipe(batch=1024)) == (
        "learning rate 0.1 x 1024/256 = 0.4, gradual warm-up from 0.1 over 5 epochs, then cosine"
    )
    assert (
        str(Recipe(batch=64, scaling="none", warmup=0))
        == "learning rate 0.1 = 0.1, no warm-up, then cosine"
    )
    assert Recipe(batch=1024, scaling="sqrt").peak == pytest.approx(0.2)


def test_constant_warmup_holds_the_reference_rate():
    recipe = Recipe(batch=8192, schedule="steps", ramp="constant")
    rates = [learning_rate(recipe, i, 90 * 156, 156) for i in range(6 * 156)]
    assert set(rates[: 5 * 156]) == {0.1} and set(rates[5 * 156 :]) == {0.1 * 8192 / 256}


def gradients(method: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    loss = method({"image": inputs, method.target: targets})["loss"]
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(method.parameters()))])


@pytest.mark.parametrize("name", ["hashtags", "supervised"])
def test_one_big_minibatch_is_the_mean_of_its_shards(name):
    torch.manual_seed(0)
    head = build("heads", {"name": "linear"}, channels=[16], classes=5)
    method = build("objectives", {"name": name}, backbone=Plain(), head=head).double()
    inputs = torch.randn(32, 3, 12, 12, dtype=torch.float64)
    tags = (torch.rand(32, 5) < 0.4).double()
    assert (tags.sum(1) == 0).any()  # an image without a hashtag stays in the normaliser
    targets = tags if name == "hashtags" else torch.randint(5, (32,))
    shards = [
        gradients(method, x, t) for x, t in zip(inputs.split(8), targets.split(8), strict=True)
    ]
    torch.testing.assert_close(
        torch.stack(shards).mean(0), gradients(method, inputs, targets), atol=1e-15, rtol=1e-12
    )


def test_momentum_needs_no_correction_when_the_rate_changes():
    """Goyal et al. 2017, remark 2: equation 9 with the rate inside the momentum is ours only if
    corrected.
    """
    torch.manual_seed(0)
    module = nn.Linear(4, 3).double()
    form = {"name": "sgd", "momentum": 0.9}
    recipe = Recipe(
        batch=8192, warmup=1, schedule="steps", optimizer=form, weight_decay=0.01, undecayed=()
    )
    solver, w, v, last = optimizer(recipe, module), copy.deepcopy(module.weight.detach()), 0.0, 1.0
    for iteration in range(12):
        rate = learning_rate(recipe, iteration, 12, 4)
        for group in solver.param_groups:
            group["lr"] = rate
        gradient = torch.sin(w + iteration)
        module.weight.grad = torch.sin(module.weight.detach() + iteration)
        solver.step()
        v = 0.9 * (rate / last) * v + rate * (gradient + recipe.weight_decay * w)
        w, last = w - v, rate
    torch.testing.assert_close(module.weight.detach(), w, atol=1e-13, rtol=1e-13)
