"""A loss that is not finite: which step, which images, and a file that repeats it."""

import re
from pathlib import Path

import pytest
import torch

from engine.training import faults
from engine.training.loop import train
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from tests.engine.training.toys import RECIPE, SECTIONS, Toy, tiny

ABOUT = {"sections": SECTIONS, "names": ["a", "b", "c"]}


class Named(Toy):
    """Images with names."""

    def ids(self, indices: torch.Tensor) -> list[str]:
        return [f"image {i}" for i in indices.tolist()]


def test_the_step_is_named_and_made_again_from_the_last_state(tmp_path, one_thread):
    module, state = tiny(), tmp_path / "state"

    def poison(done: int, total: int, text: str) -> None:
        if done == 7:
            with torch.no_grad():
                module.backbone.stages[0][0].transform[0].weight[0] = float("nan")

    told = r"the loss of step 8 is nan \(epoch 2, batch 1: image \d+, image.*lower recipe"
    with pytest.raises(ValueError, match=told) as error:
        train(
            module,
            Named(),
            Training(RECIPE, 4, state=state, progress=poison, about=ABOUT, per_report=5),
        )
    file = Path(re.search(r"faults (\S+)`", str(error.value))[1])
    lines = faults.repeat(file)
    assert lines[0].startswith("iteration 7, learning rate") and file.parent == tmp_path
    # the weights were poisoned from outside: the steps from the last state on are sound
    assert "every layer's output is finite" in lines and not any(
        line.startswith("not finite") for line in lines
    )


def test_a_rate_that_is_too_high_leaves_a_file_that_says_where(tmp_path, one_thread):
    wild = Recipe(batch=16, rate=1e30, warmup=0)
    with pytest.raises(
        ValueError, match=r"the loss of step \d+ is (nan|inf).*lower recipe.rate"
    ) as error:
        train(tiny(), Named(), Training(wild, 4, state=tmp_path / "state", about=ABOUT))
    lines = faults.repeat(Path(re.search(r"faults (\S+)`", str(error.value))[1]))
    assert any(
        line.startswith(("not finite: module.", "first layer with such an output: "))
        for line in lines
    )
    assert sum(line.startswith("loss of ") for line in lines) == 5


def test_without_a_state_the_step_is_named(one_thread):
    with pytest.raises(
        ValueError, match=r"the loss of step \d+ is (nan|inf) \(epoch \d, batch \d: \d+, "
    ) as error:
        train(tiny(), Toy(), Training(Recipe(batch=16, rate=1e30, warmup=0), 4))
    assert "faults" not in str(error.value)
