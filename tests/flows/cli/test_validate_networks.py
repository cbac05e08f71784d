"""Weights that a training starts from, and what its backbone takes: looked at before it runs."""

import pytest
import torch

from engine.core.network import network
from flows.cli.validate_networks import validate_inits, validate_trained
from tests.support import params
from tests.support.networks import TINY

VIT = {"name": "timm", "model": "test_vit", "resolution": 32}


@pytest.mark.parametrize(
    ("init", "message"),
    [
        ({"file": "w.pth", "format": "timm"}, r"pretrain.x.init: there is no w.pth: fetch .* timm"),
        ({"file": "out/pretrain/y/model.safetensors", "format": "native"}, "is written by a stage"),
        ({"file": "here.pth", "format": "torchvision"}, "torchvision has no names for a regnet"),
        ({"file": "w.pth"}, "pretrain.x.init: missing key 'format'"),
    ],
)
def test_weights_to_start_from(init, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    params.named({"tiny": TINY}, {})
    (tmp_path / "here.pth").touch()
    with pytest.raises(ValueError, match=message):
        validate_inits({"init": init, "candidate": "tiny"}, "pretrain.x")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({}, "tasks.t: timm's network is built for images of 32 x 32 pixels, and gets 64 x 64"),
        ({"resolution": 32, "freeze": 7}, "tasks.t: freeze: 7 stages, and this backbone has 6"),
    ],
)
def test_what_a_backbone_takes(section, message):
    with torch.device("meta"):
        made = network(VIT, {"name": "supervised"}, {"name": "linear"}, classes=2)
        made.backbone.resolution = 32  # as of a network of one size
        with pytest.raises(ValueError, match=message):
            validate_trained(made, {"corpus": {"size": 64}}, section, "tasks.t")
    validate_trained(made, {"corpus": {"size": 64}}, {"resolution": 32, "freeze": 6}, "tasks.t")
