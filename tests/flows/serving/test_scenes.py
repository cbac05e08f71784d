"""Versions of networks that find objects: registered, loaded, asked over HTTP."""

import base64
import json
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from corpus.media.runs import decoded
from engine.core import checkpoint
from engine.core.network import save_network
from engine.inference.scenes import ScenePredictor
from flows.registry.loading import load_function
from flows.serving import export
from flows.serving.flavour import write_flavour
from flows.serving.mlflow_private import SERVING
from flows.serving.package import package
from flows.serving.trunk import TOLERANCE, to_library
from flows.tracking import tracking
from tests.flows.serving.test_model import answered, server
from tests.support.networks import TINY
from tests.support.records import record, registered
from tests.support.scenes import NAMES, SIDE, head_section, scene_network
from tests.support.served import base64_of, loaded, png

SIZE, SHORTER = 40, 32
OBJECTIVE = {"test_shorter": SHORTER}
MEASURED = {"headline": "ap", "higher": True, "unit": "%", "metric": {"name": "coco_ap"}}


def weights(file: Path, objective: str, head: str, **about) -> dict:
    """A weight file of a small network; its sections."""
    module = scene_network(objective, head, **OBJECTIVE)
    sections = {"backbone": TINY, "objective": {"name": objective} | OBJECTIVE}
    sections["head"] = head_section(head)
    save_network(file, module, sections, NAMES, size=SIZE, **about)
    return sections


def version(folder: Path, objective: str, head: str, **about) -> Path:
    """As the stage register leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    weights(folder / "model.safetensors", objective, head, **about)
    known = checkpoint.load_tensors(folder / "model.safetensors")[1]
    write_flavour(folder, "model.safetensors", SHORTER, known)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return version(tmp_path_factory.mktemp("served"), "instances", "mask_rcnn")


def test_a_version_gives_what_the_predictor_finds_and_a_bad_image_its_reason(folder, monkeypatch):
    model, file = loaded(folder), folder / "model.safetensors"
    predictor = ScenePredictor(file, SIZE, tested=SHORTER)
    [answer] = predictor.found([predictor.read(png())])
    found = model.predict([png(), b"x", base64_of(png()), np.zeros((30, 60, 3), np.uint8)])
    assert found["error"].isna().tolist() == [True, False, True, True]
    assert "unknown format" in found["error"][1] and found["boxes"][1] == []
    row = found.loc[2]
    assert (row["width"], row["height"]) == (50, 40) and found["width"][3] == 60
    sides = answer.boxes[:, 2:] - answer.boxes[:, :2]
    assert np.allclose(np.array(row["boxes"]), np.c_[answer.boxes[:, :2], sides], atol=1e-3)
    assert row["classes"] == [NAMES[label] for label in answer.labels]
    assert row["scores"] == pytest.approx(answer.scores.tolist(), rel=1e-4)
    runs = [json.loads(mask) for mask in row["masks"]]
    assert {tuple(each["size"]) for each in runs} == {(40, 50)}
    assert [decoded(each["counts"].encode(), 40, 50).any() for each in runs].count(True) > 5
    assert len(row["boxes"]) > 5 and len(model.predict([png()], params={"top": 2})["boxes"][0]) == 2
    assert model.metadata.signature.outputs.input_names() == found.columns.tolist()
    assert model.predict(model.input_example)["error"][0] is None
    monkeypatch.setenv(SERVING, "true")
    with pytest.raises(Exception, match="no image of the request can be used: unknown format"):
        model.predict([b"x"])


@pytest.mark.parametrize("policy", ["plain", "panoptic"])
def test_maps_are_pngs_of_the_images_size(tmp_path, policy):
    place = version(tmp_path / policy, "panoptic", "panoptic_fpn", policy={"name": policy})
    [row] = loaded(place).predict([png()]).to_dict("records")
    shown = np.asarray(Image.open(BytesIO(base64.b64decode(row["map"]))))
    segmented = policy == "panoptic"
    assert shown.shape == ((40, 50, 3) if segmented else (40, 50))
    assert set(row["segments"]) <= set(NAMES)
    numbers = set(np.unique(shown[..., 0] if segmented else shown).tolist())
    most = len(row["segments"]) + 1 if segmented else len(NAMES)
    assert numbers <= {255 * (not segmented), *range(most)}


def test_a_package_of_objects_has_its_policy_and_one_of_classes_no_detection(folder):
    sections = checkpoint.load_tensors(folder / "model.safetensors")[1]["sections"]
    made = package(sections | {"policy": {"name": "panoptic"}})
    paths = {path.partition("/")[2] for path in made.files}
    assert {"models/heads/mask_rcnn.py", "models/policies/panoptic.py"} <= paths
    assert made.loader.endswith("scenemodel")
    assert not {path for path in paths if path.startswith(("engine/training", "flows/training"))}
    linear = {"backbone": TINY, "objective": {"name": "supervised"}, "head": {"name": "linear"}}
    images = package(linear)
    assert images.loader.endswith(".model")
    assert not [path for path in images.files if "detection" in path]


def test_a_graph_is_refused_with_what_to_do_and_its_trunk_is_exported(tmp_path):
    resnet = {"name": "resnet", "depths": [1, 1, 1, 1], "block": "basic"}
    module = scene_network("detection", "faster_rcnn", backbone=resnet)
    sections = {"backbone": resnet, "objective": {"name": "detection"}}
    sections["head"] = head_section("faster_rcnn")
    file = tmp_path / "a.safetensors"
    save_network(file, module, sections, NAMES, size=SIZE)
    for write in (export.to_onnx, export.to_torch):
        with pytest.raises(ValueError, match=r"Export its trunk .* or serve the version with"):
            write(file, SIZE, tmp_path / "b.pt2")
    difference, how = to_library(file, "torchvision", 64, tmp_path / "trunk.safetensors")
    assert difference < TOLERANCE and "torchvision" in how


def test_a_detector_is_registered_by_its_metric_and_answers_over_http(place):
    made = []
    for name, value in (("a", 30.0), ("b", 42.0)):
        known = MEASURED | {"values": {"ap50": 60.0, "ap50_low": 50.0, "ap50_high": 70.0}}
        known |= {"size": SHORTER, "init": "scratch", "labels": 0.1}
        one = record(name, value=value, val=value, low=value - 1, **known)
        one.pop("best_bound"), one.pop("bound")
        weights(Path(one["weights"]), "instances", "mask_rcnn")
        made.append(one)
    registered(*made)
    champion = tracking.connect().get_model_version_by_alias("models", "champion").tags
    assert champion["tagdag.model"] == "b" and champion["tagdag.headline"] == "ap"
    assert champion["tagdag.metric"] == "coco_ap" and float(champion["tagdag.value"]) == 42
    report = Path("out/register/report.md").read_text()
    assert "AP % (95 % interval)" in report and "top-1" not in report
    ours = load_function("models:/models@champion").predict([png()])
    with server("models:/models@champion", place) as url:
        [row] = answered(url, {"inputs": [base64_of(png())]})
    assert row["classes"] == ours["classes"][0] and row["error"] is None
    assert np.allclose(row["boxes"], ours["boxes"][0], atol=1e-3)
    assert row["masks"] == ours["masks"][0] and row["width"] == 50 and SIDE != 50
