"""Exported graphs give the network's own probabilities, at any number of images."""

import builtins
import json

import numpy as np
import pytest
import torch

from engine.core.network import load_network
from engine.inference.predictor import Predictor
from flows.serving import export
from flows.tools import export as command
from tests.support.networks import TINY
from tests.support.served import LINEAR, PIXELS, model_folder

NAMES = ["sea", "dog", "tree"]
RESNET = {"name": "resnet", "depths": [1, 1, 1, 1], "width": 8, "stem_width": 8}
KNN = {"name": "knn", "samples": 9, "k": 3}
NETWORKS = {"regnet, knn": (TINY, KNN), "resnet": (RESNET, LINEAR)}


def weights(folder, backbone, head):
    return model_folder(folder, NAMES, backbone=backbone, head=head) / "model.safetensors"


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_gives_the_predictors_probabilities_for_any_batch(tmp_path, name):
    onnxruntime = pytest.importorskip("onnxruntime")
    made, file = weights(tmp_path, *NETWORKS[name]), tmp_path / "a.onnx"
    assert export.to_onnx(made, 32, file) <= export.TOLERANCE
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    mean, std = (np.array(json.loads(told[f"tagdag.{key}"]), np.float32) for key in ("mean", "std"))
    assert (json.loads(told["tagdag.classes"]), told["tagdag.size"]) == (NAMES, "32")
    predictor = Predictor(made, 32)
    square = predictor.square(PIXELS)
    for batch in (1, 3):
        squares = np.stack([square] * batch)
        images = ((squares / np.float32(255) - mean) / std).transpose(0, 3, 1, 2)
        [found] = session.run(["scores"], {"images": images.astype(np.float32)})
        expected = predictor.scores(torch.from_numpy(squares)).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_torch_program_gives_the_same_and_says_what_it_takes(tmp_path):
    made, file = weights(tmp_path, TINY, LINEAR), tmp_path / "a.pt2"
    assert export.to_torch(made, 32, file) <= export.TOLERANCE
    told = {"tagdag.json": ""}
    program = torch.export.load(file, extra_files=told).module()
    images = torch.randn(5, 3, 32, 32)
    network = load_network(made)[0].eval()
    with torch.no_grad():
        expected = network.logits(images).softmax(1)
    torch.testing.assert_close(program(images), expected, atol=1e-4, rtol=0)
    assert json.loads(json.loads(told["tagdag.json"])["tagdag.classes"]) == NAMES


def test_a_graph_that_gives_other_numbers_is_not_kept(tmp_path, monkeypatch):
    made, file = weights(tmp_path, TINY, LINEAR), tmp_path / "a.pt2"
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    with pytest.raises(ValueError, match="other probabilities than the network"):
        export.to_torch(made, 32, file)
    assert not list(tmp_path.glob("*.pt2"))


def test_without_onnx_the_extra_is_named(tmp_path, monkeypatch):
    real = builtins.__import__

    def lacking(name, *rest, **more):
        if name == "onnx":
            raise ModuleNotFoundError("No module named 'onnx'", name="onnx")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", lacking)
    with pytest.raises(ValueError, match=r"ONNX needs onnx: install the extra `export`"):
        export.to_onnx(tmp_path / "none", 32, tmp_path / "a.onnx")


@pytest.mark.parametrize(
    "given, told",
    [
        ([], "give --onnx, --torch, --weights, or several"),
        (["--torch", "a.onnx"], "ends in .pt2"),
        (["--onnx", "a", "--opset", "7"], "invalid choice: 7"),
        (["--onnx", "a", "--model", "none.safetensors"], "there is no none.safetensors"),
    ],
)
def test_what_is_wrong_with_the_command_is_told(given, told, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(given)
    assert ended.value.code == 2 and told in capsys.readouterr().err


def test_the_command_knows_the_opsets():
    assert range(18, 24) == export.OPSETS
