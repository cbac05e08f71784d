"""Networks for few labels: several workers, and a training that diverges."""

import re
import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from engine.core import checkpoint
from engine.core.build import build
from engine.core.network import network
from engine.core.samples import Rows, open_split
from engine.training.loop import initialise
from engine.training.meter import Diverged
from engine.training.predicting import scored
from engine.training.recipe import Recipe
from engine.training.splitting import workers_that_pay
from engine.transfer import finetuning as transfer
from engine.transfer import frozen
from engine.transfer.finetuning import arm_score, arm_sections, fit_arm
from engine.transfer.frozen import _kept, frozen_features
from metrics.accuracy import Accuracy
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


@pytest.fixture
def anew():
    """No features of other tests."""
    _kept.clear()
    yield
    _kept.clear()


FITTED = {"logistic": {"l2": 0.01}, "knn": {"k": 3}}


def fitted(head: str, section: dict, rows: Rows) -> tuple[dict, torch.nn.Module]:
    section = section | {"heads": {"linear": {}, head: {}}}
    return section, fit_arm(rows, section, ARM | {"head": head}, FITTED[head])


@pytest.mark.parametrize("head", FITTED)
def test_a_fitted_head_leaves_the_backbone_and_is_measured_by_its_features(
    hues, one_thread, anew, head
):
    section, module = fitted(head, SECTION, hues)
    initialise(ARM["seed"])
    arm = ARM | {"head": head}
    new = network(**arm_sections(section, arm, FITTED[head], 24), classes=3)
    for name, tensor in new.backbone.state_dict().items():
        assert torch.equal(module.backbone.state_dict()[name].cpu(), tensor), name
    # by the features that are kept, and by a pass of all images
    kept = arm_score(module, hues, section)
    asked = scored(module, hues, Accuracy(), build("policies", section["policy"])).compute()["top1"]
    assert kept == asked > 60


def test_neighbours_are_as_many_as_the_samples_that_are_fitted_on(hues, one_thread, anew):
    few = hues.some(torch.arange(10))
    section, module = fitted("knn", SECTION, few)
    assert module.head.bank.weight.shape[0] == 10 and module.head.k == 3
    built = arm_sections(section, ARM | {"head": "knn"}, {"k": 3}, 10)
    assert built["head"] == {"name": "knn", "k": 3, "samples": 10}


def test_a_head_may_have_a_name_and_settings_of_its_own(hues, one_thread, anew):
    section = SECTION | {"heads": {"strict": {"name": "logistic", "l2": 5.0}}}
    arm = ARM | {"head": "strict"}
    module = fit_arm(hues, section, arm, {})
    assert module.head.l2 == 5.0
    assert arm_sections(section, arm, {"l2": 0.1}, 24)["head"] == {"name": "logistic", "l2": 0.1}
    loose = fit_arm(hues, section, arm, {"l2": 0.1})
    assert loose.head.fc.weight.norm() > 2 * module.head.fc.weight.norm()


def test_features_are_computed_once_for_all_heads_seeds_and_rows(
    hues, one_thread, anew, monkeypatch
):
    passes = []
    computed = frozen._computed
    monkeypatch.setattr(
        frozen, "_computed", lambda *given: passes.append(given) or computed(*given)
    )
    for head in FITTED:
        for rows in (hues, hues.some(torch.tensor([5, 2, 9, 4, 3, 1, 0]))):
            fitted(head, SECTION, rows)
    assert len(passes) == 1
    _, module = fitted("knn", SECTION, hues)
    # in the order of the rows asked for
    whole = frozen_features(module, hues)
    part = frozen_features(module, hues.some(torch.tensor([7, 3])))
    assert torch.equal(part, whole[[7, 3]]) and len(passes) == 1


@pytest.mark.parametrize("head", FITTED)
def test_heads_are_fitted_on_several_tags(hues, one_thread, anew, head):
    """Each colour and, beside it, what is not red."""
    labels = hues.column("label")
    tags = torch.cat([F.one_hot(labels, 3), (labels != 0)[:, None]], 1).float()
    shards = Named(hues.shards, ["red", "green", "blue", "cold"])
    rows = Rows(shards, {"image": {}, "tags": {}}, torch.arange(24), more={"tags": tags})
    section = SECTION | {"objective": {"name": "multilabel"}, "metric": {"name": "mean_ap"}}
    section, module = fitted(head, section, rows)
    assert module.head.classes == 4 and module.target == "tags"
    kept = arm_score(module, rows, section)
    asked = scored(module, rows, build("metrics", section["metric"])).compute()["map"]
    assert kept == pytest.approx(asked, abs=1e-3) and kept > 80


class Named:
    """Shards whose classes are others."""

    def __init__(self, shards, classes: list[str]) -> None:
        self.shards, self.classes = shards, classes

    def __len__(self) -> int:
        return len(self.shards)

    def __getattr__(self, name: str):
        return getattr(self.shards, name)


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
        (Recipe(batch=4, batch_norm="frozen"), 160, "2", 2),
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
