"""Every backbone of clips: the contract that networks, heads and costs build on."""

import math
from importlib import import_module

import pytest
import torch

from engine.core.build import build, choices, plugin
from models.blocks.layers.patches import WHOLE

NAMES = [
    n for n in choices("backbones") if getattr(plugin("backbones", n, ""), "reads", "") == "clip"
]
every = pytest.mark.parametrize("name", NAMES)


def first(name: str) -> dict:
    """The section of the first network that a backbone declares."""
    row = import_module(f"models.backbones.{name}").expected[0]
    return {"name": name, **row["options"]}


def steps(size: int, stride: int) -> int:
    return 1 if stride == WHOLE else math.ceil(size / stride)


@every
@pytest.mark.parametrize(("frames", "side"), [(16, 112), (32, 224)])
def test_maps_have_the_shapes_that_are_told(name, frames, side):
    with torch.device("meta"):
        backbone = build("backbones", first(name))
        maps = backbone(torch.empty(2, 3, frames, side, side))
    told = zip(backbone.channels, backbone.times, backbone.strides, strict=True)
    shapes = [(2, c, steps(frames, t), *[steps(side, s)] * 2) for c, t, s in told]
    assert [tuple(m.shape) for m in maps] == shapes


@every
def test_layers_are_the_whole_backbone_from_input_to_output(name):
    with torch.device("meta"):
        backbone = build("backbones", first(name))
        layers = backbone.layers()
    parameters = [id(p) for layer in layers for p in layer.parameters()]
    assert parameters == [id(p) for p in backbone.parameters()]
    assert all(len(getattr(backbone, key, (0, 0, 0))) == 3 for key in ("mean", "std"))
