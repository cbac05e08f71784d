"""Versions as Python functions of MLflow: what they take, what they say of bad images."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from benchmarks.services import free_port
from engine.inference.predictor import Predictor
from flows.registry.loading import load_function
from flows.serving.mlflow_private import SERVING
from flows.tracking import tracking
from tests.support.records import registered, trained
from tests.support.served import PIXELS, base64_of, loaded, model_folder, png

ROOT = Path(__file__).parents[3]
NAMES = ["sea", "dog", "tree"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return model_folder(tmp_path_factory.mktemp("linear"), NAMES)


@pytest.fixture(scope="module")
def model(folder):
    return loaded(folder)


@pytest.fixture(scope="module")
def scores(folder):
    """Of the image, by class, as the predictor has them."""
    predictor = Predictor(folder / "model.safetensors", 32)
    square = torch.from_numpy(predictor.square(png()))[None]
    return dict(zip(NAMES, predictor.scores(square)[0].tolist(), strict=True))


def test_every_kind_of_image_gets_the_numbers_of_the_predictor(model, scores, tmp_path):
    file = tmp_path / "a.png"
    file.write_bytes(png())
    kinds = [png(), base64_of(png()), file, Image.fromarray(PIXELS), PIXELS]
    found = model.predict(pd.DataFrame({"id": range(5), "image": kinds}, index=list("abcde")))
    best = max(scores, key=scores.get)
    assert found.index.tolist() == list("abcde") and found["class"].tolist() == [best] * 5
    assert found["score"].dtype == np.float64 and set(found["score"]) == {found["score"].iloc[0]}
    for names, values in zip(found["classes"], found["scores"], strict=True):
        got = dict(zip(names, values, strict=True))
        assert got == pytest.approx(scores, rel=1e-5) and values == sorted(values)[::-1]
    assert model.predict(np.stack([PIXELS] * 5))["score"].tolist() == found["score"].tolist()
    series = pd.Series(kinds)
    for one in (kinds, {"image": kinds[:2]}, series, pd.DataFrame({"x": series}), *kinds):
        assert model.predict(one)["score"].to_numpy() == pytest.approx(scores[best], rel=1e-5)


def test_top_bounds_the_list_of_classes(model):
    assert len(model.predict([png()], params={"top": 2})["classes"][0]) == 2
    assert len(model.predict([png()], params={"top": 99})["classes"][0]) == len(NAMES)
    with pytest.raises(Exception, match="top=0: give 1 to 3"):
        model.predict([png()], params={"top": 0})


BAD = {
    "/etc/passwd": "no base64; a text is never the name of a file",
    "file:///etc/passwd": "no base64",
    "http://127.0.0.1/a.png": "no base64",
    base64_of(b"hello"): "unknown format",
    base64_of(png()[:-40]): "truncated",
    b"": "empty",
    None: "no image: found NoneType",
    1.5: "no image: found float",
    Path("/etc"): "no file: /etc",
    Path("/nowhere/a.png"): "no file",
    Path("/dev/zero"): "no file",
}


def test_a_bad_image_is_a_row_with_its_reason_and_costs_the_others_nothing(model, scores):
    found = model.predict(pd.DataFrame({"image": [*BAD, png()]}))
    for error, reason in zip(found["error"], BAD.values(), strict=False):
        assert reason in error
    assert found["class"].tolist()[:-1] == [None] * len(BAD) and found["score"].isna().sum() == 11
    assert found["error"].iloc[-1] is None and found["score"].iloc[-1] == pytest.approx(
        max(scores.values())
    )


def test_texts_are_files_only_for_one_who_loads_the_model_so(folder, tmp_path):
    file = tmp_path / "a.png"
    file.write_bytes(png())
    trusting = loaded(folder, paths=True)
    assert trusting.predict([str(file)])["error"].tolist() == [None]
    assert "no base64" in loaded(folder).predict([str(file)])["error"][0]
    # what a request may hold changes nothing
    refused = loaded(folder).predict([str(file)], params={"paths": True})
    assert "no base64" in refused["error"][0]


def test_where_requests_are_answered_json_gets_nulls_and_a_request_without_image_is_refused(
    model, monkeypatch
):
    monkeypatch.setenv(SERVING, "true")
    found = model.predict([png(), b"x"])
    assert found["score"].tolist()[1] is None and found["error"].tolist()[0] is None
    with pytest.raises(Exception, match="no image of the request can be used: unknown format"):
        model.predict([b"x"])


def test_the_variable_by_which_a_server_is_known_is_mlflows(model, monkeypatch):
    """MLflow promises it nowhere: flows/serving/mlflow_private.py."""
    from mlflow.pyfunc import scoring_server

    monkeypatch.setenv(SERVING, "false")
    scoring_server.init(model)
    assert os.environ[SERVING] == "true"


def test_versions_of_other_code_and_a_network_of_hashtags_load_side_by_side(model, tmp_path):
    resnet = {"name": "resnet", "depths": [1, 1, 1, 1], "width": 8, "stem_width": 8}
    other = loaded(model_folder(tmp_path / "a", ["x", "y"], "hashtags", resnet, size=24))
    assert set(other.predict([png()])["classes"][0]) == {"x", "y"}
    assert set(model.predict([png()])["classes"][0]) == set(NAMES)
    assert other.loader_module != model.loader_module
    predictor = Predictor(tmp_path / "a/model.safetensors", 32, tested=24)
    square = torch.from_numpy(predictor.square(png()))[None]
    assert other.predict([png()])["score"][0] == predictor.scores(square).max().item()


def test_the_example_and_the_signature_are_mlflows(model, folder):
    found = model.predict(model.input_example)
    assert found["class"][0] in NAMES
    signature = model.metadata.signature
    assert signature.outputs.input_names() == found.columns.tolist()
    assert signature.params.params[0].name == "top"
    assert not [file for file in folder.rglob("*") if file.suffix in (".pkl", ".pickle", ".pt")]


ALONE = """
import sys
from mlflow import pyfunc
found = pyfunc.load_model("models:/models@champion").predict([sys.stdin.buffer.read()])
assert not {"engine", "models", "flows", "corpus"} & sys.modules.keys()
print(found["class"][0], float(found["score"][0]))
"""


@contextmanager
def server(uri, folder):
    """`python -m flows.serve`: its address; Ctrl-C ends it at once."""
    port = free_port()
    command = [sys.executable, "-m", "flows.serve", "--model", uri, "--port", str(port)]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=folder, env=env)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(120) in (0, 130, -signal.SIGINT)


def answered(url, body):
    """The rows that a server gives, once it has started."""
    with httpx.Client(timeout=60) as client:
        for _ in range(300):
            with suppress(httpx.ConnectError):
                return client.post(f"{url}/invocations", json=body).json()["predictions"]
            time.sleep(0.2)
    raise AssertionError(f"{url} does not answer")


def test_a_registered_version_loads_in_an_empty_folder_and_is_served(place):
    registered(trained("a", seed=0))
    ours = load_function("models:/models@champion").predict([png()])
    (place / "empty").mkdir()
    kept = ("PATH", "HOME", "MLFLOW_TRACKING_URI", "LANG")
    surroundings = {key: os.environ[key] for key in kept if key in os.environ}
    surroundings["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    command = [sys.executable, "-c", ALONE]
    about = {"cwd": place / "empty", "env": surroundings, "input": png(), "capture_output": True}
    with server("models:/models@champion", place) as url:  # starts meanwhile
        ran = subprocess.run(command, **about, check=False)
        assert ran.returncode == 0, ran.stderr.decode()[-2000:]
        [row] = answered(url, {"inputs": [base64_of(png())], "params": {"top": 1}})
    assert (row["class"], row["score"]) == (ours["class"][0], pytest.approx(ours["score"][0]))
    assert ran.stdout.decode().split() == [ours["class"][0], str(float(ours["score"][0]))]


def test_a_version_that_was_registered_before_learns_it_from_the_next_register(place, capsys):
    made, client = trained("a", seed=0), tracking.connect()
    registered(made)
    for model in place.glob("mlruns/**/models/*/artifacts"):
        shutil.rmtree(model / "code")
    client.delete_model_version_tag("models", "1", "tagdag.flavour")
    with pytest.raises(ValueError, match="which adds what it lacks"):
        load_function("models:/models/1")
    registered(made)
    assert load_function("models:/models/1").predict([png()])["error"][0] is None
    assert len(client.search_model_versions("name = 'models'")) == 1


@pytest.mark.parametrize(
    "uri, told",
    [
        ("models:/models/9", "has no version 9"),
        ("models:/models@best", "has no alias 'best'"),
        ("models:/others@champion", "no model 'others'"),
        ("mlruns/a", "names no version: write models:/"),
    ],
)
def test_a_version_that_is_not_there_is_told(place, uri, told):
    tracking.connect().create_registered_model("models")
    with pytest.raises(ValueError, match=told):
        load_function(uri)
