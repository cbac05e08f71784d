"""Batch norms that stay as they came, through steps, modes, kills and copies."""

import copy
import signal
from dataclasses import replace

import pytest
import torch
from torch import nn

from engine.core import checkpoint
from engine.core.batch import length
from engine.core.network import network
from engine.training.distributed import Workers
from engine.training.loader import Step
from engine.training.loop import initialise, train
from engine.training.norms import freeze_batch_norms
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from engine.training.step import Learner
from engine.training.stopping import Stopped
from tests.engine.training.test_stopping import stopped_at
from tests.engine.training.toys import RECIPE, SECTIONS, Toy, tiny

FROZEN = replace(RECIPE, batch_norm="frozen", rate=0.05)


def pretrained() -> nn.Module:
    """A network whose norms have seen something."""
    module = tiny()
    for layer in norms(module):
        nn.init.uniform_(layer.running_mean, -1, 1)
        nn.init.uniform_(layer.running_var, 0.5, 2)
    return module


def norms(module: nn.Module) -> list[nn.Module]:
    return [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]


def trained(path, recipe: Recipe = FROZEN, **more) -> dict[str, torch.Tensor]:
    # whoever watches leaves it in the mode of tests, and the loop puts it back
    more |= {"watch": lambda epoch, module: module.eval()}
    train(pretrained(), Toy(), Training(recipe, 4, state=path, **more))
    return checkpoint.load_tensors(max(path.glob("*.safetensors")))[0]


def test_they_stay_and_all_else_learns_also_after_a_kill(tmp_path, one_thread):
    start = pretrained()
    own = {name for name, layer in start.named_modules() if isinstance(layer, nn.BatchNorm2d)}
    with pytest.raises(Stopped):
        trained(tmp_path / "cut", progress=stopped_at(5, signal.SIGTERM))
    cut, whole = trained(tmp_path / "cut"), trained(tmp_path / "whole")
    stayed = set()
    for name, tensor in start.state_dict().items():
        after = whole["module." + name]
        assert torch.equal(after, cut["module." + name])
        if torch.equal(after, tensor):
            stayed.add(name.rpartition(".")[0])
    assert stayed == own and len(own) > 3


def test_a_step_is_the_same_in_parts_and_takes_the_statistics_that_were_there(one_thread):
    batch = {"image": torch.randn(6, 3, 16, 16), "label": torch.arange(6) % 3}
    expected = pretrained().eval()(batch)["loss"]
    after = []
    for micro in (None, 1):
        learner = Learner(pretrained(), replace(FROZEN, micro=micro), Workers())
        learner.objective.eval()
        learner.objective.train()
        assert not any(layer.training for layer in norms(learner.objective))
        step = Step(0, batch, 0, length(batch), 1.0)
        torch.testing.assert_close(learner.step(batch, step, [0.1])["loss"], expected)
        after.append(learner.objective.state_dict())
        for layer in norms(learner.objective):
            assert not any(p.requires_grad or p.grad is not None for p in layer.parameters())
    for name, tensor in after[0].items():
        torch.testing.assert_close(after[1][name], tensor, atol=1e-6, rtol=1e-5)


def test_a_copy_has_norms_of_its_own():
    module = pretrained()
    freeze_batch_norms(module)
    twin = copy.deepcopy(module)
    for layer, other in zip(norms(module), norms(twin), strict=True):
        assert other.train() is other and layer.train() is layer


def test_group_norm_in_its_place_learns(one_thread):
    initialise(0)
    section = {"name": "resnet", "depths": [1, 1], "width": 16, "norm": {"name": "group_norm"}}
    module = network(section, SECTIONS["objective"], SECTIONS["head"], classes=3)
    start = copy.deepcopy(module.state_dict())
    assert not norms(module)
    train(module, Toy(), Training(FROZEN, 1))
    names = [n for n, layer in module.named_modules() if isinstance(layer, nn.GroupNorm)]
    assert len(names) > 5
    for name in names:
        assert not torch.equal(module.state_dict()[name + ".bias"], start[name + ".bias"])


def test_statistics_are_not_both_kept_and_computed_anew():
    with pytest.raises(ValueError, match=r"precise_bn.*give one of the two"):
        Recipe(batch_norm="frozen", precise_bn=64)
