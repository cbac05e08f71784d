"""Trainings on clips: killed and resumed, by two workers, in parts and in other precisions."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.core import checkpoint
from engine.core.build import build
from engine.core.layout import laid_out, placed
from engine.training.checkpoints import Checkpoints
from engine.training.loop import initialise, train
from engine.training.predicting import BATCH, fitting, scored
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from tests.support.methods import section
from tests.support.videos import CLIPS, Normed, Normless, Videos
from tests.support.workers import two

COLOURS = {"jitter": [0.4, 0.4, 0.4, 0.1], "grey": 0.2, "blur": 0.5}
RHO = CLIPS | COLOURS | {"clips": 2, "within": 3}
RECIPE = Recipe(batch=8, rate=0.1, per=8, warmup=0, weight_decay=1e-4)
METHODS = {name: section(name) | {"views": RHO} for name in ("moco", "byol", "simclr", "swav")}
# two crops of one clip: rho of 1
METHODS["moco, one clip"] = section("moco") | {"views": RHO | {"clips": 1, "views": 2}}
METHODS["byol, four clips"] = {"name": "byol", "sequential": True, "temperature": 0.5}
METHODS["byol, four clips"] |= {"width": 8, "hidden": 12, "views": RHO | {"clips": 4}}
CLASSES = {
    "hashtags": {"name": "hashtags", "views": CLIPS | {"clips": 2}, "label_smoothing": 0.1},
    "supervised": {"name": "supervised", "views": CLIPS | {"views": 2, "place": "segments"}},
    "mixed": {"name": "supervised", "views": CLIPS, "mixup": 0.2, "cutmix": 1.0},
}
OBJECTIVES = METHODS | CLASSES


@pytest.fixture(autouse=True)
def alone(one_thread):
    """One thread."""


def made(objective: dict[str, Any], backbone: nn.Module) -> nn.Module:
    head = build("heads", {"name": "linear"}, channels=backbone.channels, classes=3)
    return build("objectives", objective, backbone=backbone, head=head)


def run(name: str, folder: Path, recipe: Recipe, normed: bool = True, **more: Any) -> nn.Module:
    """A training of four epochs with its states in a folder."""
    initialise(0)
    module = made(OBJECTIVES[name], Normed() if normed else Normless())
    train(module, Videos(module.reads), Training(recipe, 4, state=folder, **more))
    return module


class Interrupted(Exception):
    """As kill -9 in the middle of a step's end."""


def interrupted(values: dict[str, float], iteration: int) -> None:
    if iteration == 5:
        raise Interrupted


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_killed_training_ends_with_the_same_bytes(tmp_path, monkeypatch, name):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    module = run(name, whole, RECIPE, per_report=1)
    monkeypatch.setenv("TAGDAG_CHECKPOINT_SECONDS", "0")
    monkeypatch.setattr(Checkpoints, "busy", lambda self: self.wait() or False)
    with pytest.raises(Interrupted):
        run(name, cut, RECIPE, report=interrupted, per_report=1)
    assert 0 < int(max(cut.glob("*.safetensors")).stem) <= 5
    run(name, cut, RECIPE, per_report=1)
    assert max(cut.iterdir()).read_bytes() == max(whole.iterdir()).read_bytes()
    assert all(weight.isfinite().all() for weight in module.parameters())


# of losses that depend on batch norm's statistics, as BYOL's, two workers are not one
TOGETHER = ("hashtags", "supervised", "moco")


def every_method(folder: Path) -> None:
    torch.set_num_threads(1)
    for name in TOGETHER:
        run(name, folder / name, RECIPE, normed=False)


# what two workers made of each
pair = two(every_method)


@pytest.mark.parametrize("name", TOGETHER)
def test_two_workers_are_one_with_twice_the_videos(pair, tmp_path, name):
    run(name, tmp_path, RECIPE, normed=False)
    alone, together = (
        checkpoint.load_tensors(max(folder.glob("*.safetensors")))[0]
        for folder in (tmp_path, pair / name)
    )
    assert alone.keys() == together.keys()
    for key, tensor in alone.items():
        torch.testing.assert_close(
            together[key], tensor, atol=2e-5, rtol=2e-4, msg=lambda text, key=key: f"{key}: {text}"
        )


def test_micro_batches_of_videos_are_the_whole(tmp_path):
    """Of several views too: a part is of videos, with all of their views."""
    weights = []
    for micro in (None, 3):
        module = run("hashtags", tmp_path / str(micro), replace(RECIPE, micro=micro), normed=False)
        weights.append(module.backbone.stem[0].weight.detach())
    torch.testing.assert_close(*weights, atol=2e-5, rtol=2e-4)


def test_half_precision_averages_and_statistics_anew(tmp_path):
    recipe = replace(RECIPE, precision="bfloat16", ema=0.9, precise_bn=16, last="keep")
    module = run("hashtags", tmp_path, recipe)
    plain = run("hashtags", tmp_path / "plain", RECIPE)
    norm, other = module.backbone.stem[1], plain.backbone.stem[1]
    assert norm.running_mean.isfinite().all()
    assert not torch.equal(norm.running_mean, other.running_mean)


def test_targets_are_those_of_each_view():
    module = made(CLASSES["hashtags"], Normless())
    tags, known = torch.tensor([[1.0, 0, 1], [0, 1, 0]]), torch.tensor([1.0, 0.0])
    views = {"image": torch.arange(6.0).view(2, 3, 1, 1, 1, 1), "hashtags": tags}
    found = module.each(views | {"hashtags_known": known})
    assert found["image"].flatten().tolist() == list(range(6)) and found["image"].ndim == 5
    assert torch.equal(found["hashtags"], tags[[0, 0, 0, 1, 1, 1]])
    assert found["hashtags_known"].tolist() == [1, 1, 1, 0, 0, 0]
    # the loss of two views is the mean of theirs
    image = torch.randn(2, 2, 3, 4, 16, 16)
    both, first, second = (
        module({"image": each, "hashtags": tags})["loss"]
        for each in (image, image[:, :1], image[:, 1:])
    )
    torch.testing.assert_close(both, (first + second) / 2)


def test_clips_are_learnt_and_tested_in_their_middle():
    initialise(0)
    module = made(CLASSES["supervised"], Normed())
    samples = Videos(module.reads)
    for video, label in zip(samples.pixels, samples.label.tolist(), strict=True):
        # brighter in a channel of its class in its middle alone, darker elsewhere
        video[3:9, ..., label] = 255
    recipe = Recipe(batch=10, rate=0.2, per=8, warmup=0)
    train(module, samples, Training(recipe, 20))
    for _ in range(2):
        found = scored(module, samples, build("metrics", {"name": "accuracy"})).compute()
        assert found["top1"] == 100
    assert samples.reads["clip"]["place"] == "segments"
    assert module.test_columns(samples.reads)["clip"]["place"] == "middles"


def test_fewer_samples_are_asked_for_at_a_time_where_each_is_large(monkeypatch):
    module = made(CLASSES["hashtags"], Normless())
    assert fitting(Videos(module.reads)) == BATCH
    (name,) = [name for name in module.reads if name == "clip"]
    monkeypatch.setattr("engine.training.predicting.BYTES", 4 * 2 * 4 * 16 * 16 * 3 * 5)
    assert fitting(Videos({name: module.reads[name]})) == 5
    monkeypatch.setattr("engine.training.predicting.BYTES", 1)
    assert fitting(Videos({name: module.reads[name]})) == 1


def test_weights_of_clips_keep_planes_and_those_of_images_have_colours_last():
    module = nn.ModuleDict({"clips": nn.Conv3d(3, 4, 3), "images": nn.Conv2d(3, 4, 3)})
    placed(module, torch.device("cpu"))
    assert module["clips"].weight.is_contiguous()
    assert module["images"].weight.is_contiguous(memory_format=torch.channels_last)
    alone = placed(nn.Conv2d(3, 4, 1), torch.device("cpu")).weight
    usual = nn.Conv2d(3, 4, 1).to(memory_format=torch.channels_last).weight
    assert alone.stride() == usual.stride()
    image, clip = torch.rand(2, 3, 4, 5), torch.rand(2, 3, 4, 5, 6).transpose(3, 4)
    assert laid_out(image).is_contiguous(memory_format=torch.channels_last)
    assert laid_out(clip).is_contiguous()
