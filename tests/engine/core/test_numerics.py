"""The process's flags of computing: named where they matter, afterwards what they were."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from engine.core.numerics import flags, numerics, restored
from engine.measure.profile import profile_network
from engine.measure.timing import runtimes
from engine.training import predicting
from engine.training.loop import train
from engine.training.meter import Diverged
from engine.training.predicting import predicted
from engine.training.schedule import Training
from engine.twins.features import rmac_features
from tests.engine.training.toys import RECIPE, Toy, tiny

TESTED = {"matmul": "highest", "tf32": False, "benchmark": False}
TESTED |= {"deterministic": True, "warn_only": True, "filled": False}
ON = {"tf32": True, "benchmark": True, "deterministic": False, "warn_only": False, "filled": True}
OFF = {name: not value for name, value in ON.items()}
STATES = [{"matmul": "high"} | ON, {"matmul": "highest"} | OFF]


@pytest.fixture(params=STATES, ids=["all on", "all off"])
def left_behind(request):
    """Flags as something else has left them; afterwards those of the session again."""
    before = flags()
    restored(request.param)
    yield request.param
    restored(before)


class Look(nn.Module):
    """A backbone that notes the flags that it is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict] = []
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        self.seen.append(flags())
        return [self.conv(images)]


RECIPES = [{}, {"exact": False}, {"precision": "tf32"}, {"precision": "bfloat16"}]


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_a_training_puts_the_flags_back(left_behind, recipe):
    chosen, seen = replace(RECIPE, **recipe), []
    train(tiny(), Toy(), Training(chosen, 2, watch=lambda epoch, module: seen.append(flags())))
    assert flags() == left_behind
    fast, exact = chosen.precision == "tf32", chosen.exact
    own = {"matmul": "high" if fast else "highest", "tf32": fast}
    own |= {"benchmark": not exact, "deterministic": exact}
    assert seen == [TESTED | own]


def test_a_training_that_fails_puts_them_back_too(left_behind):
    with pytest.raises(Diverged):
        train(tiny(), Toy(), Training(replace(RECIPE, rate=1e9, scaling="none", warmup=0), 20))
    assert flags() == left_behind
    with pytest.raises(ValueError, match="optimizer"):
        train(tiny(), Toy(), Training(replace(RECIPE, optimizer={"name": "none"}), 1))
    assert flags() == left_behind


def test_what_is_measured_does_not_depend_on_what_ran_before(left_behind):
    look = Look()
    profile_network(nn.Sequential(look, Last()), 8, torch.device("cpu"), (1,), runs=3)
    runtimes([(look, 8)], torch.device("cpu"), 1, rounds=1, seconds=0.001)
    rmac_features(look, [torch.rand(1, 3, 8, 8)])
    assert look.seen and all(each == TESTED for each in look.seen)
    assert flags() == left_behind


class Last(nn.Module):
    """A head: the last map alone."""

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        return maps[-1]


def test_predictions_have_their_flags_and_their_reader_has_its_own(left_behind, monkeypatch):
    module = tiny()
    monkeypatch.setattr(predicting, "BATCH", 20)
    module.backbone.stem.register_forward_hook(look := Seen())
    for _ in predicted(module, Toy()):
        assert flags() == left_behind
    assert look.seen == [TESTED] * 3


class Seen:
    """A hook that notes flags."""

    def __init__(self) -> None:
        self.seen: list[dict] = []

    def __call__(self, *_) -> None:
        self.seen.append(flags())


def test_contexts_nest_and_survive_errors(left_behind):
    with pytest.raises(RuntimeError), numerics("tf32", exact=False):
        inner = flags()
        with numerics():
            assert flags() == TESTED
        assert flags() == inner
        raise RuntimeError
    assert flags() == left_behind


@pytest.mark.parametrize("said", [None, ":16:8"])
def test_matrix_products_on_a_gpu_can_be_exact_without_the_flows(said):
    """cuBLAS reads the variable when it starts: the engine sets it, but for what a user says."""
    env = {key: value for key, value in os.environ.items() if key != "CUBLAS_WORKSPACE_CONFIG"}
    env |= {"CUBLAS_WORKSPACE_CONFIG": said} if said else {}
    code = "import os, engine.core.numerics; print(os.environ['CUBLAS_WORKSPACE_CONFIG'])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (said or ":4096:8")


COMPILER = """
import sys, torch
from engine.core.numerics import deterministic, flags, numerics
with numerics():
    print(torch.are_deterministic_algorithms_enabled(), "torch._inductor" in sys.modules)
print(torch.are_deterministic_algorithms_enabled())
deterministic(True, warn_only=True, compiled=True)
print(torch._inductor.config.deterministic, flags()["warn_only"])
"""


def test_torchs_compiler_is_told_where_it_is_used_and_not_imported_elsewhere():
    """Its import takes more than a second of each process that only tests or measures."""
    done = subprocess.run(
        [sys.executable, "-c", COMPILER], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "False", "False", "True", "True"]
