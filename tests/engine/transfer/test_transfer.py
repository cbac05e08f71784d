"""Networks for few labels: several workers, and a training that diverges."""

import re
import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from engine.core import checkpoint
from engine.core.samples import Rows, open_split
from engine.training.meter import Diverged
from engine.training.recipe import Recipe
from engine.training.splitting import workers_that_pay
from engine.transfer import finetuning as transfer
from engine.transfer.finetuning import arm_score, fit_arm
from tests.support.shards import write_shards

BACKBONE = {"name": "regnet", "depth": 3, "w_0": 16, "w_a": 8, "w_m": 2, "group_width": 8}
SECTION = {
    "backbone": BACKBONE | {"stem_width": 8, "stem_stride": 1},
    "objective": {"name": "supervised", "scale": [0.75, 1]},
    "heads": {"linear": {}},
    "metric": {"name": "accuracy"},
    "policy": {"name": "plain"},
    "recipe": {"batch": 8, "micro": 4, "rate": 0.2, "warmup": 0},
    "epochs": 2,
}
ARM = {
    "candidate": "tiny",
    "target": "hues",
    "init": "scratch",
    "head": "linear",
    "labels": 8,
    "seed": 0,
}
HUES = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200]])


@pytest.fixture(scope="module")
def hues(tmp_path_factory) -> Rows:
    """24 training images of three hues."""
    rng, records = np.random.default_rng(0), []
    for number in range(24):
        image, label = BytesIO(), number % 3
        pixels = (HUES[label] + rng.integers(-60, 56, (16, 16, 3))).astype(np.uint8)
        Image.fromarray(pixels).save(image, "JPEG")
        records.append((str(number), "train", image.getvalue(), [label]))
    folder = tmp_path_factory.mktemp("hues")
    write_shards(folder, records, ["red", "green", "blue"], size=16)
    return Rows(open_split(folder, "train"), {"image": {}, "label": {}}, torch.arange(24))


def test_two_workers_fine_tune_as_one(hues, tmp_path, one_thread, monkeypatch):
    # without precise_bn its running averages are those of the first worker's images: Goyal et al.
    # 2017, section 3
    precise = {"rate": 0.1, "precise_bn": 24}
    alone = fit_arm(hues, SECTION, ARM, precise, state=tmp_path / "alone")
    launch, started = transfer.launch, []

    def counted(workers, *given):
        started.append(workers)
        launch(workers, *given)

    monkeypatch.setattr(transfer, "launch", counted)
    monkeypatch.setenv("TAGDAG_WORKERS", "2")
    together = fit_arm(hues, SECTION, ARM, precise, state=tmp_path / "together")
    assert started == [2]
    for (name, ours), theirs in zip(
        together.state_dict().items(), alone.state_dict().values(), strict=True
    ):
        if "num_batches" not in name:  # passes of this worker
            torch.testing.assert_close(ours, theirs, atol=2e-5, rtol=2e-4, msg=name)
    assert arm_score(together, hues, SECTION) == arm_score(alone, hues, SECTION)


@pytest.mark.parametrize(
    ("recipe", "images", "workers", "expected"),
    [
        (Recipe(batch=32), 160, None, 1),
        (Recipe(batch=32), 160, "2", 2),
        (Recipe(batch=32), 160, "8", 2),  # 16 images of a batch each
        (Recipe(batch=32, micro=4), 160, "8", 8),
        (Recipe(batch=32, micro=8), 160, "3", 2),  # 4 micro-batches among 3 would not be the same
        (Recipe(batch=256), 20, "2", 1),  # the batch is all there is
        (Recipe(batch=32, batch_norm="sync"), 160, "8", 8),
    ],
)
def test_trainings_are_split_where_batch_norm_lets_them(
    recipe, images, workers, expected, monkeypatch
):
    monkeypatch.delenv("TAGDAG_WORKERS", raising=False)
    if workers:
        monkeypatch.setenv("TAGDAG_WORKERS", workers)
    assert workers_that_pay(recipe, images, 60) == expected


@pytest.mark.parametrize(("images", "expected"), [(160, 1), (100_000, 8)])
def test_on_several_gpus_only_large_sets_are_split(images, expected, monkeypatch):
    monkeypatch.delenv("TAGDAG_WORKERS", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    assert workers_that_pay(Recipe(batch=256), images, 60) == expected


@pytest.mark.parametrize("text", ["two", "0", "-1", "1.5"])
def test_a_number_of_workers_that_is_none_is_told(text, monkeypatch):
    monkeypatch.setenv("TAGDAG_WORKERS", text)
    with pytest.raises(
        ValueError, match=f"TAGDAG_WORKERS={text}: give a whole number from 1 to 256"
    ):
        workers_that_pay(Recipe(), 1000, 1)


def test_an_arm_that_diverges_is_named_and_its_step_repeated_by_the_command_told(
    hues, tmp_path, one_thread
):
    with pytest.raises(
        Diverged, match=r"tiny-hues-scratch-linear-8-0 with rate 1e\+30: .*finetune.grid"
    ) as error:
        fit_arm(hues, SECTION, ARM, {"rate": 1e30}, state=tmp_path / "state")
    command = re.search(r"`python (-m engine.training.faults \S+)`", str(error.value))[1]
    assert "safetensors" in command
    told = subprocess.run(
        [sys.executable, *command.split()], capture_output=True, text=True, check=True
    ).stdout
    assert (
        told.startswith("iteration ")
        and "first layer with such an output" in told
        and "loss of the batch" in told
    )


def test_a_state_of_a_fine_tuning_says_what_network_it_is_of(hues, tmp_path, one_thread):
    seen = []
    given = (hues, SECTION | {"epochs": 1}, ARM, {}, lambda values, step: None, tmp_path / "state")
    fit_arm(*given, progress=lambda done, total, text: seen.append((done, total)))
    about = checkpoint.load_tensors(max((tmp_path / "state").glob("*.safetensors")))[1]["about"]
    assert about["names"] == ["red", "green", "blue"]
    assert about["sections"]["backbone"]["name"] == "regnet" and seen == [(1, 3), (2, 3), (3, 3)]
