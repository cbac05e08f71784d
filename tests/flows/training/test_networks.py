"""Thirty networks of timm and fifteen of torchvision, pretrained, fine-tuned and tested by one step
each; some of them through every stage, the registry with them, on the sample.

All of them take minutes: python -m pytest -m matrix tests/flows/training. `make test` has a few.
"""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import yaml
from PIL import Image

from benchmarks.clone import overlaid, sampled
from engine.core.network import load_network, network, save_network
from engine.core.samples import Rows, open_split
from engine.training.loop import initialise, train
from engine.training.predicting import predicted, scored
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from engine.transfer.finetuning import fit_arm
from engine.transfer.weights import released_tensors
from metrics.accuracy import Accuracy
from tests.flows.test_pipeline import clone
from tests.support.commands import run
from tests.support.libraries import NETWORKS, few_of, side_of
from tests.support.shards import write_shards

RECIPE = {"batch": 4, "rate": 0.05, "warmup": 0}
OBJECTIVE = {"name": "supervised"}


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> Path:
    """Four training images and two test images of two classes, 32 px."""
    rng, records = np.random.default_rng(0), []
    for number in range(6):
        image = BytesIO()
        pixels = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(image, "JPEG")
        split = "train" if number < 4 else "test"
        records.append((f"{split}-{number}", split, image.getvalue(), [number % 2]))
    folder = tmp_path_factory.mktemp("few") / "set"
    write_shards(folder, records, ["red", "green"], size=32)
    return folder


@pytest.mark.parametrize("section", [*few_of(NETWORKS)])
def test_every_network_is_pretrained_fine_tuned_and_tested(section, few, tmp_path):
    side, reads = side_of(section), {"image": {}, "label": {}}
    samples, test = (Rows(open_split(few, each), reads, size=side) for each in ("train", "test"))
    sections = {"backbone": section, "objective": OBJECTIVE, "head": {"name": "linear"}}
    initialise(0)
    module = network(**sections, classes=2)
    train(module, samples, Training(Recipe(**RECIPE), 1, 0))
    weights = tmp_path / "model.safetensors"
    save_network(weights, module, sections, ["red", "green"])
    # from those weights, its stem and first stage frozen
    task = {"backbone": section, "objective": OBJECTIVE, "heads": {"linear": {}}}
    task |= {"recipe": RECIPE, "epochs": 1, "weights": weights, "freeze": 1}
    arm = {"init": "pretrained", "head": "linear", "seed": 1}
    tuned = fit_arm(samples, task, arm, {})
    before, after = module.backbone.state_dict(), tuned.backbone.state_dict()
    same = [name for name in before if torch.equal(before[name], after[name])]
    assert 0 < len(same) < len(before)
    assert 0 <= scored(tuned, test, Accuracy()).compute()["top1"] <= 100
    save_network(weights, tuned, sections, ["red", "green"])
    again = load_network(weights)[0]
    [(_, found, _)], [(_, expected, _)] = predicted(again, test), predicted(tuned, test)
    assert torch.equal(found["scores"], expected["scores"]) and found["scores"].isfinite().all()


# of the smallest files, at the 32 px of the sample: convolutions, transformers, and both
STAGED = {
    "resnet10t": {"name": "timm", "model": "resnet10t"},
    "tiny-resnet": {"name": "timm", "model": "test_resnet"},
    "convnext": {"name": "timm", "model": "convnext_atto"},
    "mobilenetv3": {"name": "timm", "model": "mobilenetv3_small_050"},
    "edgenext": {"name": "timm", "model": "edgenext_xx_small"},
    "tiny-vit": {"name": "timm", "model": "test_vit", "resolution": 32},
    "vit": {"name": "timm", "model": "vit_tiny_patch16_224", "resolution": 32},
    "shufflenet": {"name": "torchvision", "model": "shufflenet_v2_x0_5"},
    "mnasnet": {"name": "torchvision", "model": "mnasnet0_5"},
    "mobilenet": {"name": "torchvision", "model": "mobilenet_v3_small"},
    "regnet": {"name": "torchvision", "model": "regnet_y_400mf"},
}
RELEASED = "weights/convnext.safetensors"


@pytest.fixture(scope="module", params=[pytest.param(tuple(STAGED), marks=pytest.mark.matrix)])
def folder(request, tmp_path_factory) -> Path:
    """A clone whose candidates are some of those networks, in which every stage has run."""
    made = clone(tmp_path_factory.mktemp("networks"), small=False)
    sampled(made, 60, (3, 2, 2))
    candidates, pretrain = {}, {}
    for name in request.param:
        section = STAGED[name]
        file = f"candidates/{name}.yaml"
        (made / file).write_text(yaml.safe_dump(section))
        candidates[name] = {"backbone": section["name"], "section": file}
        pretrain[f"{name}-scenes"] = candidates[name] | {
            "candidate": name,
            "data": "targets/scenes",
            "objective": OBJECTIVE,
            "head": {"name": "linear"},
            "metric": {"name": "accuracy"},
            "recipe": RECIPE | {"batch": 12},
            "epochs": 1,
        }
    # weights of another, in timm's names, as a start of a pretraining and of an arm
    (made / "weights").mkdir()
    torch.manual_seed(1)
    parts = {"backbone": STAGED["convnext"], "objective": OBJECTIVE, "head": {"name": "linear"}}
    tensors = released_tensors(network(**parts, classes=2).backbone, "timm")
    safetensors.torch.save_file(tensors, made / RELEASED)
    pretrain["convnext-scenes"]["init"] = {"file": RELEASED, "format": "timm"}
    pretrain["tiny-resnet-scenes"]["resolution"] = 40
    task = {
        "data": "targets/scenes",
        "inits": [*pretrain, "released"],
        "released": {"released": {"candidate": "convnext", "file": RELEASED, "format": "timm"}},
        "heads": {"linear": {}},
        "labels": [2],
        "seeds": [0],
        "objective": OBJECTIVE,
        "metric": {"name": "accuracy"},
        "policy": {"name": "plain"},
        "recipe": RECIPE,
        "grid": {},
        "freeze": "stem",
        "epochs": 1,
    }
    params = yaml.safe_load((made / "params.yaml").read_text())
    params |= {"candidates": candidates, "pretrain": pretrain, "tasks": {"scenes": task}}
    params["search"]["trials"] = 0
    params["corpus"] |= {"min_posts": 3, "holdout": 0.2}
    params["evaluate"] = {"runs": 3, "batches": [2], "seconds": 0.01}
    (made / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    run(made, "python", "-m", "flows.corpus")
    for name in pretrain:
        run(made, "python", "-m", "flows.pretrain", name)
    for stage in ("finetune", "evaluate"):
        run(made, "python", "-m", f"flows.{stage}", "scenes")
    run(made, "python", "-m", "flows.register")
    return made


def test_networks_go_through_every_stage_to_the_registry(folder):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    versions = client.search_model_versions("name = 'tagdag'")
    names = yaml.safe_load((folder / "params.yaml").read_text())["candidates"]
    assert len(versions) == len(names) + 1
    assert "champion" in client.get_registered_model("tagdag").aliases
    report = (folder / "out/register/report.md").read_text()
    assert all(name in report for name in names)


def test_a_frozen_stem_is_that_of_the_file(folder):
    theirs = safetensors.torch.load_file(folder / RELEASED)
    weights = folder / "out/finetune/scenes/released-linear-2-0.safetensors"
    ours = load_network(weights)[0].backbone.model.state_dict()
    stem = {name for name in theirs if name.startswith("stem.")}
    assert stem and all(torch.equal(theirs[name], ours[name]) for name in stem)
    assert any(not torch.equal(theirs[name], ours[name]) for name in theirs)
    # the pretraining that began with it has learnt
    after = load_network(folder / "out/pretrain/convnext-scenes/model.safetensors")[0]
    told = after.backbone.model.state_dict()
    moved = [name for name in theirs if not torch.equal(theirs[name], told[name])]
    close = [name for name in theirs if torch.allclose(theirs[name], told[name], atol=0.2)]
    assert moved and len(close) == len(theirs)


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        (
            {"released": {"released": {"file": "weights/none.pth"}}},
            "there is no weights/none.pth: fetch",
        ),
        ({"released": {"released": {"format": "tim"}}}, "did you mean 'timm'"),
        (
            {"released": {"released": {"format": "wsl"}}, "inits": ["scratch"]},
            "no init is of this name",
        ),
        ({"freeze": 99}, "freeze: 99 stages, and this backbone has"),
        ({"resolution": 48}, "built for images of 32 x 32 pixels, and gets 48 x 48"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_runs(folder, overlay, message):
    before = (folder / "params.yaml").read_text()
    try:
        overlaid(folder, {"tasks": {"scenes": overlay}})
        assert message in run(folder, "python", "-m", "flows.finetune", "scenes", code=2)
    finally:
        (folder / "params.yaml").write_text(before)
