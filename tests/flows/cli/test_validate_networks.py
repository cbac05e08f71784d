"""Weights that a training starts from, and what its backbone takes: looked at before it runs."""

import pytest
import torch

from engine.core.network import check_inputs, network
from flows.cli.validate_networks import validate_answers, validate_inits, validate_trained
from tests.support import params
from tests.support.networks import TINY
from tests.support.videos import CLIPS as CLIP_VIEWS
from tests.support.videos import TINY_CLIPS

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


CLIPS = {"name": "supervised", "views": CLIP_VIEWS}


@pytest.mark.parametrize(
    ("backbone", "objective", "message"),
    [
        (
            TINY_CLIPS,
            {"name": "supervised"},
            r"X3D reads the column 'clip'.* `views: {name: clips}`",
        ),
        (TINY, CLIPS, r"RegNet reads the column 'image'.*leave its `views` out, or take another"),
    ],
)
def test_a_backbone_reads_what_its_objective_has(backbone, objective, message):
    made = network(backbone, objective, {"name": "linear"}, classes=2)
    with pytest.raises(ValueError, match=message):
        check_inputs(made, "tasks.t")


def test_a_backbone_is_asked_whether_it_takes_such_clips():
    made = network(TINY_CLIPS, CLIPS, {"name": "linear"}, classes=2)
    asked = []
    made.backbone.check_clip = lambda frames, side: asked.append((frames, side))
    validate_trained(made, {"corpus": {"size": 64}}, {}, "tasks.t")
    assert asked == [(4, 16)]


@pytest.mark.parametrize("policy", ["plain", "views"])
def test_a_metric_and_a_policy_are_tried_on_clips(policy):
    section = {"objective": CLIPS, "policy": {"name": policy}, "metric": {"name": "accuracy"}}
    validate_answers(section, {"name": "linear"}, "tasks.t")
    section |= {"metric": {"name": "coco_ap"}}
    with pytest.raises(ValueError, match=r"tasks.t.metric: coco_ap reads .* and the policy"):
        validate_answers(section, {"name": "linear"}, "tasks.t")


def test_several_views_of_images_are_refused():
    section = {"objective": {"name": "supervised"}, "policy": {"name": "views"}}
    with pytest.raises(ValueError, match=r"tasks.t: policy views.*supervised has images"):
        validate_answers(section | {"metric": {"name": "accuracy"}}, {"name": "linear"}, "tasks.t")
