"""Every backbone of clips: the contract, in small.

tests/models/test_backbones.py counts what each declares.
"""

import pytest
import torch
from torch import nn

from engine.core.build import build
from models.blocks.layers.patches import WHOLE
from tests.models.test_backbones import LIBRARIES, OF_CLIPS

TINY = {"width": 8, "stem_width": 8, "stem_kernel": 3, "stem_stride": 1}
# of each backbone a tiny one, below 0.3 M parameters
SECTIONS = {
    "r2plus1d": {"name": "videoresnet", "depths": (1, 1, 1), "stem_middle": 8, **TINY},
    "mc3": {
        "name": "videoresnet",
        "depths": (1, 1),
        "convolutions": ["3d", "2d"],
        "stem": "3d",
        **TINY,
    },
    "bottleneck": {
        "name": "videoresnet",
        "depths": (1, 2),
        "block": "bottleneck",
        "middle": "width",
        "time_first": True,
        "stem": "2d",
        "pool": True,
        **TINY,
    },
    "ir-csn": {"name": "csn", "depths": (1, 2), **TINY},
    "ip-csn": {"name": "csn", "depths": (2, 1), "interaction": "preserved", "pool": False, **TINY},
    "x3d": {"name": "x3d", "width": 0.5, "depth": 1.0, "depths": [1, 1, 2, 1], "head_width": 64},
    "resnet3d": {"name": "resnet3d", "depths": [1, 1], "width": 8, "stem": "simple"},
    "slowfast": {"name": "slowfast", "depths": [1, 1], "width": 16, "alpha": 2, "beta": 0.25},
}
every = pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)


def lively(module: nn.Module) -> nn.Module:
    """Norms that do something, lest zero scales hide a branch."""
    torch.manual_seed(0)
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm3d)):
        nn.init.uniform_(norm.weight, 0.5, 1.0)
        nn.init.normal_(norm.bias, std=0.1)
        norm.running_mean.normal_(std=0.1)
        norm.running_var.uniform_(0.5, 1.5)
    return module.eval()


def test_each_backbone_has_a_tiny_one():
    assert {section["name"] for section in SECTIONS.values()} == set(OF_CLIPS) - set(LIBRARIES)


def size(whole: int, stride: int) -> int:
    return 1 if stride == WHOLE else -(-whole // stride)


@every
@pytest.mark.parametrize("shape", [(8, 32, 32), (6, 40, 28)])
def test_maps_are_as_told_in_any_memory_format(section, shape):
    backbone = lively(build("backbones", section))
    assert sum(p.numel() for p in backbone.parameters()) < 300_000
    clips = torch.randn(2, 3, *shape)
    with torch.no_grad():
        maps = backbone(clips)
        last = backbone.to(memory_format=torch.channels_last_3d)
        other = last(clips.contiguous(memory_format=torch.channels_last_3d))
        alone = backbone(clips[:1])
    torch.testing.assert_close(other, maps, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close([each[0] for each in alone], [each[0] for each in maps])
    told = zip(backbone.channels, backbone.times, backbone.strides, strict=True)
    wanted = [(c, size(shape[0], t), size(shape[1], s), size(shape[2], s)) for c, t, s in told]
    assert [tuple(each.shape[1:]) for each in maps] == wanted


@every
def test_every_parameter_learns_and_is_in_one_layer(section):
    backbone, ran = lively(build("backbones", section)).train(), []
    layers = backbone.layers()
    for layer in layers:
        layer.register_forward_hook(lambda layer, *_: ran.append(layer))
    maps = backbone(torch.randn(4, 3, 8, 32, 32))
    sum((each * torch.randn_like(each)).sum() for each in maps).backward()
    assert ran == layers
    assert not [name for name, p in backbone.named_parameters() if not p.grad.abs().max() > 0]
    parameters = [id(p) for layer in layers for p in layer.parameters()]
    assert sorted(parameters) == sorted(id(p) for p in backbone.parameters())
