"""Every objective on several views in the training loop, also on clips: killed and resumed, in half
precision, averaged; what is refused; the weights that it leaves.
"""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.core import checkpoint
from engine.core.network import load_network, network, save_network
from engine.training.checkpoints import Checkpoints
from engine.training.distributed import Workers
from engine.training.loader import Dataset
from engine.training.loop import initialise, train
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from engine.training.step import Learner
from models.blocks.methods.multiview import MultiView
from tests.models.selfsup.toys import RHO, Normed, Photos, of_clips, small
from tests.support import videos
from tests.support.methods import methods, section
from tests.support.networks import TINY

METHODS = methods()
OF_CLIPS = [f"{name} of clips" for name in RHO]
# two steps of an epoch, and four samples left out
RECIPE = Recipe(batch=8, rate=0.1, per=8, warmup=0, weight_decay=1e-4)
STOPS = (5,)  # steps of eight after which a training is killed
BACKBONE = TINY | {"stem_stride": 1}


class Interrupted(Exception):
    """As kill -9 in the middle of a step's end."""


@pytest.fixture(autouse=True)
def alone(one_thread):
    """One thread."""


def made(name: str) -> MultiView:
    initialise(0)
    if name in OF_CLIPS:
        return of_clips(name.partition(" ")[0], videos.Normed())
    return small(name, Normed())


def samples(module: MultiView) -> Dataset:
    return videos.Videos(module.reads) if module.column == "clip" else Photos()


def written(checkpoints: Checkpoints) -> bool:
    """In the place of `busy`: steps as short as these would pass while a state is written."""
    checkpoints.wait()
    return False


def run(name: str, folder: Path, recipe: Recipe, stops: tuple[int, ...] = ()) -> bytes:
    """The last state of a training that was killed after some steps."""
    for stop in (*stops, None):

        def report(values: dict[str, float], iteration: int, stop: int | None = stop) -> None:
            assert torch.tensor(values["loss"]).isfinite()
            if iteration == stop:
                raise Interrupted

        training, module = (
            Training(recipe, 4, state=folder, report=report, per_report=1),
            made(name),
        )
        if stop is None:
            train(module, samples(module), training)
        else:
            with pytest.raises(Interrupted):
                train(module, samples(module), training)
            assert 0 < int(max(folder.glob("*.safetensors")).stem) <= stop
    newest = max(folder.iterdir())
    about = checkpoint.load_tensors(newest)[1]
    assert about["finished"] and about["iteration"] == (12 if recipe.last == "keep" else 8)
    return newest.read_bytes()


OTHERS = [
    {"precision": "float16", "optimizer": {"name": "lars", "momentum": 0.9}},
    {"optimizer": {"name": "adamw"}, "rate": 0.001, "clip": 1.0, "last": "keep"},
]


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        *product([*METHODS, *OF_CLIPS], [{}, {"precision": "bfloat16", "ema": 0.9}]),
        *product(["moco"], OTHERS),
    ],
    ids=str,
)
def test_a_killed_training_ends_with_the_same_bytes(tmp_path, monkeypatch, name, changed):
    recipe = replace(RECIPE, **changed)
    whole = run(name, tmp_path / "whole", recipe)
    monkeypatch.setenv("TAGDAG_CHECKPOINT_SECONDS", "0")
    monkeypatch.setattr(Checkpoints, "busy", written)
    assert run(name, tmp_path / "cut", recipe, STOPS) == whole


def states(module: MultiView) -> dict[str, Tensor]:
    """What is neither of the backbone nor of the head: teacher, queue, centre, projector."""
    kept = ("backbone.", "head.", "augment.")
    return {name: t for name, t in module.state_dict().items() if not name.startswith(kept)}


@pytest.mark.parametrize("name", [*METHODS, *OF_CLIPS])
def test_what_a_state_has_is_what_training_changes(name):
    """Else the test above would hold for a queue that never moves too."""
    module, before = made(name), states(made(name))
    train(module, samples(module), Training(RECIPE, 4))
    after = states(module)
    still = [key for key, tensor in after.items() if torch.equal(tensor, before[key])]
    assert len(still) < len(after)
    for part in ("teacher", "queue"):
        own = [key for key in after if part in key.split(".")]
        assert not own or set(own) - set(still), part


def test_the_average_of_the_weights_is_kept():
    ends = []
    for ema in (None, 0.9):
        module = made("moco")
        train(module, Photos(), Training(replace(RECIPE, ema=ema), 1))
        ends.append(module.backbone.stem[0].weight.detach())
    assert not torch.equal(*ends) and ends[1].isfinite().all()


def test_batch_norm_is_computed_anew():
    module = made("moco")
    train(module, Photos(), Training(replace(RECIPE, precise_bn=16), 1))
    assert module.backbone.stem[1].running_mean.isfinite().all()


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"micro": 4}, r"recipe\.micro: the loss of \w+ is of a whole batch.*remove micro"),
        ({"sharded": True}, r"recipe\.sharded: \w+ keeps a copy or a queue.*remove sharded"),
    ],
    ids=str,
)
@pytest.mark.parametrize("name", METHODS)
def test_what_would_change_the_loss_is_refused(name, changed, fault):
    with pytest.raises(ValueError, match=fault):
        Learner(made(name), replace(RECIPE, **changed), Workers())


@pytest.mark.parametrize("name", METHODS)
def test_backbone_and_head_alone_are_left(tmp_path, name):
    torch.manual_seed(0)
    sections = {"backbone": BACKBONE, "objective": section(name), "head": {"name": "linear"}}
    module = network(**sections, classes=3)
    train(module, Photos(), Training(RECIPE, 1))
    weights = module.export()
    assert {key.partition(".")[0] for key in weights} == {"backbone", "head"}
    assert states(module)
    save_network(tmp_path / "model.safetensors", module, sections, ["a", "b", "c"])
    restored, names = load_network(tmp_path / "model.safetensors")
    images = module.plain(Photos().pixels[:4])
    assert names == ["a", "b", "c"]
    with torch.no_grad():
        found = [each.eval().logits(images) for each in (module, restored)]
    assert torch.equal(*found)
