"""Trunks for other libraries: their own network loads the file, and computes the same."""

import pytest
import safetensors.torch
import torch
from torch import nn

from engine.core.network import network, save_network
from flows.serving.trunk import to_library
from flows.tools import export
from tests.models.video.test_torchvision_video import SMALL

REGNET = {"name": "regnet", "depth": 13, "w_0": 24, "w_a": 36.44, "w_m": 2.49, "group_width": 8}
VIT = {"name": "vit", "width": 32, "depth": 2, "heads": 2, "hidden": 64, "resolution": 32}
BASIC = {"name": "resnet", "depths": (2, 2, 2, 2), "block": "basic"}
TRUNKS = [
    (BASIC, "torchvision"),
    (BASIC, "timm"),
    ({"name": "resnext", "depths": (1, 1, 1, 1), "group_width": 8}, "wsl"),
    (REGNET, "timm"),
    ({"name": "efficientnet"}, "timm"),
    (VIT, "timm"),
    (VIT, "torchvision"),
    ({"name": "timm", "model": "test_convnext"}, "timm"),
    ({"name": "timm", "model": "test_vit", "resolution": 32}, "timm"),
    ({"name": "torchvision", "model": "mobilenet_v3_small"}, "torchvision"),
    ({"name": "torchvision", "model": "shufflenet_v2_x0_5", "out": []}, "torchvision"),
    (SMALL[0][0], "torchvision"),
    (SMALL[3][0], "torchvision"),
    ({"name": "videoresnet", "middle": "block", "depths": (1, 1, 1, 1)}, "torchvision"),
]
OF_CLIPS = {"name": "supervised", "views": {"name": "clips", "frames": 4, "every": 1}}
SECTIONS = {"objective": {"name": "supervised"}, "head": {"name": "linear"}}


def weights_of(section: dict, folder):
    torch.manual_seed(0)
    sections = {"backbone": section} | SECTIONS
    if section["name"] == "torchvision_video":
        sections["objective"] = OF_CLIPS
    module = network(**sections, classes=2)
    # scales and statistics that do something: zeros would hide a wrong branch
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d)):
        nn.init.uniform_(norm.weight, 0.5, 1.0)
        norm.running_mean.normal_(std=0.1)
    save_network(folder / "model.safetensors", module, sections, ["a", "b"], size=32)
    return folder / "model.safetensors", module.backbone


@pytest.mark.parametrize(("section", "form"), TRUNKS, ids=[f"{s['name']}-{f}" for s, f in TRUNKS])
def test_the_library_computes_the_same(section, form, tmp_path):
    weights, backbone = weights_of(section, tmp_path)
    told, how = to_library(weights, form, 32, tmp_path / "trunk.safetensors")
    assert told <= 1e-5 and "load_state_dict" in how
    written = safetensors.torch.load_file(tmp_path / "trunk.safetensors")
    assert len(written) == len(backbone.state_dict())
    assert not any(
        name.startswith(("backbone.", "model.", "stages.0.0.transform")) for name in written
    )
    assert len(list(tmp_path.iterdir())) == 2  # no half file


def test_a_librarys_builder_takes_the_file_without_this_project(tmp_path):
    import timm

    weights, backbone = weights_of({"name": "timm", "model": "test_convnext"}, tmp_path)
    export.main(
        ["--model", str(weights), "--weights", str(tmp_path / "t.safetensors"), "--format", "timm"]
    )
    peer = timm.create_model("test_convnext", num_classes=0).eval()
    peer.load_state_dict(safetensors.torch.load_file(tmp_path / "t.safetensors"))
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(peer(images), backbone.eval()(images)[-1].flatten(1))


@pytest.mark.parametrize(
    ("section", "form", "message"),
    [
        (BASIC | {"stem": "simple"}, "torchvision", "no such resnet: stem is another there"),
        (BASIC | {"depths": (1, 1)}, "timm", "timm has no such resnet: the number of stages"),
        (BASIC, "moco", "are read in it, and not written"),
        ({"name": "timm", "model": "test_vit"}, "torchvision", "timm's test_vit has no names of"),
        (BASIC, "wsl", "wsl is of ResNeXt"),
        ({"name": "videoresnet", "depths": (1,)}, "torchvision", "have four stages"),
    ],
)
def test_what_the_library_has_not_is_told_and_nothing_is_written(section, form, message, tmp_path):
    weights, _ = weights_of(section, tmp_path)
    with pytest.raises(ValueError, match=message):
        to_library(weights, form, 32, tmp_path / "trunk.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]
