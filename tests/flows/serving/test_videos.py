"""Networks of clips for others: exported graphs, and versions that MLflow loads and serves."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.core import checkpoint
from engine.core.network import load_network
from engine.inference.videos import SECONDS, VideoPredictor
from flows.serving import export
from flows.serving.flavour import write_flavour
from flows.serving.mlflow_private import SERVING
from flows.serving.package import package
from flows.serving.requests import checked
from flows.serving.videomodel import ANSWERING, ServedVideos
from tests.flows.predicting.test_videos import CLASSES, RATE, SIZE, VIEWS, video_weights
from tests.flows.serving.test_package import SECTIONS
from tests.support.served import loaded, png


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """As the stage register leaves it."""
    made = tmp_path_factory.mktemp("served")
    weights = video_weights(made / "model.safetensors")
    about = checkpoint.load_tensors(weights)[1]
    write_flavour(made, weights.name, SIZE, about)
    return made


@pytest.fixture(scope="module")
def model(folder):
    return loaded(folder)


@pytest.fixture(scope="module")
def film(folder) -> bytes:
    """The video of the example."""
    [[text]] = json.loads((folder / "input_example.json").read_text())["data"]
    return base64.b64decode(text)


def test_a_version_gives_the_numbers_of_the_predictor(model, folder, film, tmp_path):
    given = {"frame_rate": RATE, "policy": VIEWS}
    predictor = VideoPredictor(folder / "model.safetensors", SIZE, **given)
    [wanted] = predictor.scores([predictor.read(film)]).tolist()
    assert np.ptp(wanted) > 0.01 and sum(wanted) == pytest.approx(1)
    file = tmp_path / "a.gif"
    file.write_bytes(film)
    for one in (film, base64.b64encode(film).decode(), file, {"video": [film]}):
        found = model.predict(one)
        got = dict(zip(found["classes"][0], found["scores"][0], strict=True))
        assert [got[name] for name in CLASSES] == pytest.approx(wanted, abs=1e-6)
    assert found["class"][0] == CLASSES[int(np.argmax(wanted))]
    assert model.predict(model.input_example)["error"].tolist() == [None]
    [column] = model.metadata.signature.inputs.input_names()
    assert column == "video"


def test_a_bad_video_is_a_row_with_its_reason(model, film):
    bad = {film[:-20]: "truncated", b"": "empty", png(): "an image", None: "no video: found None"}
    bad |= {"/etc/passwd": "no base64", Path("/etc"): "no file: /etc"}
    found = model.predict([*bad, np.zeros((4, 8, 8, 3), np.uint8), film])
    for error, reason in zip(found["error"], bad.values(), strict=False):
        assert reason in error
    assert "no video: found ndarray" in found["error"].iloc[-2]
    assert found["error"].iloc[-1] is None and found["class"].iloc[-1] in CLASSES


def test_a_request_may_hold_videos_and_none_may_take_long(folder, film, monkeypatch):
    text = base64.b64encode(film).decode()
    for form in ({"instances": [{"video": text}]}, {"inputs": {"video": [text]}}):
        body = checked(json.dumps(form).encode(), "application/json")
        assert json.loads(body) == {"inputs": [text]}
    served = ServedVideos(VideoPredictor(folder / "model.safetensors", SIZE, frame_rate=RATE))
    monkeypatch.setenv(SERVING, "true")
    with pytest.raises(Exception, match="no video of the request can be used: an image"):
        served.predict([png()])
    assert served.predictor.seconds == ANSWERING < SECONDS


def test_a_package_of_clips_has_pyav_and_the_policy_and_one_of_images_has_neither(folder):
    about = checkpoint.load_tensors(folder / "model.safetensors")[1]
    made = package(about["sections"] | {"policy": VIEWS})
    paths = {path.partition("/")[2] for path in made.files}
    needed = {"models/views/clips.py", "models/policies/views.py", "corpus/media/frames.py"}
    assert needed <= paths and any(line.startswith("av==") for line in made.requirements)
    assert not {path for path in paths if path.startswith(("engine/training", "flows/training"))}
    images = package(SECTIONS)
    assert not any(line.startswith("av==") for line in images.requirements)
    assert made.loader.endswith("videomodel") and images.loader.endswith(".model")


def test_graphs_of_clips_give_the_networks_probabilities(tmp_path):
    made = video_weights(tmp_path / "a.safetensors", size=32)
    program, graph = tmp_path / "a.pt2", tmp_path / "a.onnx"
    assert export.to_torch(made, 32, program) <= export.TOLERANCE
    network, clips = load_network(made)[0].eval(), torch.randn(3, 3, 4, 32, 32)
    with torch.no_grad():
        wanted = network.logits(clips).softmax(1)
    torch.testing.assert_close(torch.export.load(program).module()(clips), wanted)
    onnxruntime = pytest.importorskip("onnxruntime")
    assert export.to_onnx(made, 32, graph) <= export.TOLERANCE
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    [found] = session.run(["scores"], {"images": clips.numpy()})
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-4)
    told = session.get_modelmeta().custom_metadata_map
    clip = {"frames": 4, "every": 2, "clips": 1, "place": "centre"}
    assert json.loads(told["tagdag.clip"]) == clip
    assert json.loads(told["tagdag.policy"]) == VIEWS and told["tagdag.frame_rate"] == str(RATE)
    assert "(n, 3, t, size, size)" in told["tagdag.input"] and told["tagdag.size"] == "32"
