"""The number of threads that a training is fastest with, and how a stage keeps it."""

import pytest
import torch

from engine.core.batch import Batch
from engine.core.network import network
from engine.training import fastest
from engine.training.recipe import Recipe
from models.blocks.augment.draws import Draws
from tests.support.networks import TINY

SECTIONS = {
    "backbone": TINY,
    "objective": {"name": "supervised"},
    "head": {"name": "linear"},
}


class Noise:
    """Twelve images of two classes."""

    def __len__(self) -> int:
        return 12

    def read(self, indices: torch.Tensor, draws: Draws) -> Batch:
        images = torch.full((len(indices), 16, 16, 3), 7, dtype=torch.uint8)
        return {"image": images, "label": indices % 2}


@pytest.mark.parametrize(
    ("seconds", "best"), [({1: 1.0, 2: 0.8}, 2), ({1: 1.0, 2: 0.95}, 1), ({1: 1.0, 2: 9.0}, 1)]
)
def test_the_faster_number_is_found_and_nothing_else_changes(
    monkeypatch, one_thread, seconds, best
):
    torch.manual_seed(3)
    module, recipe = network(**SECTIONS, classes=2), Recipe(batch=8, warmup=0)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    generator = torch.get_rng_state()
    now = [0.0]
    step = fastest.Learner.step

    def slow(learner, *given):
        now[0] += seconds[torch.get_num_threads()]
        return step(learner, *given)

    monkeypatch.setattr(fastest.Learner, "step", slow)
    monkeypatch.setattr(fastest.time, "perf_counter", lambda: now[0])
    assert fastest.fastest(module, Noise(), recipe, 0, [1, 2]) == best
    assert torch.get_num_threads() == 1 and torch.equal(torch.get_rng_state(), generator)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
