"""Several optimizers in one training: whose parameters they update, at which rates, and faults."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn

from engine.core.batch import Batch
from engine.training.distributed import Workers
from engine.training.loader import Step
from engine.training.loop import train
from engine.training.recipe import Recipe, learning_rate
from engine.training.schedule import Training
from engine.training.step import Learner, phases_of
from tests.engine.training.toys import RECIPE, Recorder, Toy, Twofold, plain, twofold

SGD = replace(RECIPE, optimizer={"name": "sgd", "momentum": 0.9}, weight_decay=0.01)


@pytest.fixture(autouse=True)
def alone(one_thread):
    """One thread."""


def batch(n: int = 8) -> Batch:
    toy = Toy(n)
    return {"image": (toy.pixels / 64 - 2).permute(0, 3, 1, 2), "label": toy.classes}


def whole(views: Batch) -> Step:
    n = len(views["label"])
    return Step(0, views, 0, n, 1.0)


def copied(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def changed(module: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    """The parts of a network whose weights are others."""
    after = module.state_dict().items()
    return {name.partition(".")[0] for name, new in after if not torch.equal(before[name], new)}


@pytest.mark.parametrize(
    ("rates", "moved"),
    [([0.0, 0.1], {"head"}), ([0.1, 0.0], {"backbone"}), ([0.1, 0.1], {"head", "backbone"})],
)
def test_a_phase_updates_its_own_parameters_alone(rates, moved):
    learner = Learner(twofold(), SGD, Workers())
    before = copied(learner.objective)
    for _ in range(2):
        learner.step(batch(), whole(batch()), rates)
    assert changed(learner.objective, before) == moved
    assert all(parameter.grad is None for parameter in learner.objective.parameters())


def test_a_step_is_that_of_two_optimizers_by_hand():
    """One after the other: the second has the gradient of the weights that the first has left."""
    views, rates = batch(), [0.02, 0.3]
    learner, module = Learner(twofold(), SGD, Workers()), twofold()
    decays = [p for p in module.backbone.parameters() if p.ndim > 1]
    free = [p for p in module.backbone.parameters() if p.ndim == 1]
    first = torch.optim.AdamW(
        [{"params": decays, "weight_decay": 0.01}, {"params": free, "weight_decay": 0}], lr=rates[0]
    )
    head = module.head.fc
    second = torch.optim.SGD(
        [{"params": [head.weight], "weight_decay": 0.01}, {"params": [head.bias]}],
        lr=rates[1],
        momentum=0.9,
    )
    for _ in range(3):
        found = learner.step(views, whole(views), rates)
        trunk = module(views, phase="trunk")
        trunk["loss"].backward()
        nn.utils.clip_grad_norm_(module.backbone.parameters(), 0.5)
        first.step()
        module.zero_grad()
        top = module(views, phase="top")
        top["loss"].backward()
        second.step()
        module.zero_grad()
        expected = {
            "loss": trunk["loss"] + top["loss"],
            "loss_trunk": trunk["loss"],
            "loss_trunk_size": trunk["size"],
            "loss_top": top["loss"],
        }
        assert found.keys() == expected.keys()
        for name, loss in expected.items():
            torch.testing.assert_close(found[name], loss.detach())
    for name, tensor in learner.objective.state_dict().items():
        torch.testing.assert_close(tensor, module.state_dict()[name], atol=1e-6, rtol=1e-5)


def test_each_has_a_schedule_of_its_own(monkeypatch):
    rates, step = [], Learner.step

    def noted(learner, views, one, found, progress):
        rates.append(found)
        return step(learner, views, one, found, progress)

    monkeypatch.setattr(Learner, "step", noted)
    train(twofold(), Toy(), Training(RECIPE, 4))
    own = replace(RECIPE, **Twofold.OWN)
    for place, recipe in enumerate((own, RECIPE)):
        expected = [learning_rate(recipe, i, 12, 3) for i in range(12)]
        assert [each[place] for each in rates] == pytest.approx(expected)
    # constant once it is warm, while the other falls
    assert rates[4][0] == rates[11][0] and rates[4][1] > 2 * rates[11][1]


def test_the_gradient_of_each_is_clipped_by_itself():
    recipe = Recipe(optimizer={"name": "sgd"}, weight_decay=0)
    moved = {}
    for trunk, top in itertools.product((1e-3, 1e9), repeat=2):
        module = twofold()
        own = {"optimizer": {"name": "sgd"}, "clip": trunk}
        module.phases = lambda module=module, own=own, top=top: {
            "trunk": (module.backbone.parameters(), own),
            "top": (module.head.parameters(), {"clip": top}),
        }
        learner = Learner(module, recipe, Workers())
        before, views = copied(module), batch()
        views["image"] = 50 * views["image"]
        # one at a time: the first update would change the gradient of the second
        learner.step(views, whole(views), [1.0, 0.0])
        moved[trunk, top] = [norm(module.backbone, before, "backbone.")]
        module.load_state_dict(before)
        learner.step(views, whole(views), [0.0, 1.0])
        moved[trunk, top].append(norm(module.head, before, "head."))
    for (trunk, top), found in moved.items():
        for clip, length in zip((trunk, top), found, strict=True):
            if clip < 1:
                assert length == pytest.approx(clip, rel=1e-3)
            else:
                assert length > 0.01


def norm(module: nn.Module, before: dict[str, torch.Tensor], prefix: str) -> float:
    """How far weights have moved."""
    after = module.state_dict().items()
    return torch.cat([(new - before[prefix + name]).flatten() for name, new in after]).norm().item()


def test_phases_that_share_a_parameter_are_refused():
    module = twofold()
    everything = list(module.parameters())
    module.phases = lambda: {"one": (module.head.parameters(), {}), "all": (everything, {})}
    with pytest.raises(ValueError, match=r"'one' and 'all' of Twofold both update a parameter of"):
        Learner(module, RECIPE, Workers())


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"batch": 8}, "recipe of phase 'trunk': 'batch' is of all phases: set it in the recipe"),
        ({"precision": "float16"}, "'precision' is of all phases"),
        ({"rat": 0.1}, "recipe of phase 'trunk': unknown key 'rat', did you mean 'rate'"),
        ({"rate": -1}, r"recipe of phase 'trunk'\.rate = -1: Input should be greater than 0"),
        ({"optimizer": {"name": "adam"}}, r"phase 'trunk'\.optimizer: unknown name 'adam'"),
    ],
)
def test_settings_of_a_phase_that_are_none_are_refused(settings, fault):
    module = twofold()
    module.phases = lambda: {
        "trunk": (module.backbone.parameters(), settings),
        "top": (module.head.parameters(), {}),
    }
    with pytest.raises(ValueError, match=fault):
        phases_of(module, RECIPE)


def test_both_learn_and_their_losses_are_reported():
    report, module = Recorder(), twofold()
    train(module, Toy(96), Training(RECIPE, 8, report=report, per_report=6))
    parts = ("loss_trunk", "loss_top")
    for name in parts:
        assert report.series(name)[-1] < 0.6 * report.series(name)[0]
    sums = [sum(each) for each in zip(*map(report.series, parts), strict=True)]
    assert report.series("loss") == pytest.approx(sums)


def test_micro_batches_of_several_optimizers_add_up_to_the_batch():
    ends = []
    for micro in (None, 3, 8):
        module = twofold()
        train(module, Toy(), Training(replace(RECIPE, micro=micro), 2))
        ends.append(module.state_dict())
    for name, tensor in ends[0].items():
        for other in ends[1:]:
            torch.testing.assert_close(other[name], tensor, atol=2e-5, rtol=1e-3)


class Whole(Twofold):
    """One whose loss is of a whole batch."""

    exact_in_parts = False


def test_a_loss_of_a_whole_batch_is_not_taken_in_parts():
    module = plain()
    with pytest.raises(ValueError, match=r"recipe\.micro: the loss of Whole is of a whole batch"):
        Learner(Whole(module.backbone, module.head), replace(RECIPE, micro=8), Workers())
    Learner(Whole(module.backbone, module.head), RECIPE, Workers())
