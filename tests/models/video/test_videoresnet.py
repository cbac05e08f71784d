"""R3D, MC3 and R(2+1)D: the same outputs as other libraries', and the rules for channels."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import video

from engine.core.build import build
from models.blocks.layers.video.factorised import factorised, middle_channels, whole
from models.blocks.layers.video.videoresnet import VideoBlock
from tests.models.test_backbones import classifier, copied
from tests.models.video.test_trunks import lively


def agree(ours: nn.Module, peer: nn.Module, frames: int = 4, side: int = 32) -> None:
    torch.manual_seed(1)
    clips = torch.randn(2, 3, frames, side, side)
    with torch.no_grad():
        found, wanted = ours(clips), peer(clips)
    assert wanted.std() > 0.01
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def branch_first(ours: nn.Module, peer: nn.Module) -> dict[str, Tensor]:
    """The weights of a network of pytorchvideo, whose projections come before the branches."""
    state = peer.state_dict()
    place = {key: number for number, key in enumerate(state)}
    parts = {key: key.split(".")[: 4 if ".res_blocks." in key else 2] for key in state}

    def places(key: str) -> tuple:
        return list(map(int, parts[key][1::2])), "branch1" in key, place[key]

    order = sorted(state, key=places)
    return dict(zip(ours.state_dict(), map(state.get, order), strict=True))


@pytest.mark.parametrize(
    ("name", "entries", "options"),
    [
        ("r3d_18", 122, {"convolutions": "3d", "stem": "3d"}),
        ("mc3_18", 122, {"convolutions": ["3d", "2d", "2d", "2d"], "stem": "3d"}),
        ("r2plus1d_18", 224, {"middle": "block"}),
    ],
)
def test_torchvision_computes_the_same(name, entries, options):
    torch.manual_seed(0)
    peer = lively(getattr(video, name)(num_classes=7))
    nn.init.normal_(peer.fc.weight, std=0.05)
    assert len(peer.state_dict()) == entries
    agree(copied(classifier({"name": "videoresnet", **options}, 7, "cpu"), peer), peer)


def test_pytorchvideos_r2plus1d_r50_computes_the_same():
    hub = pytest.importorskip("pytorchvideo.models.hub")
    torch.manual_seed(0)
    peer = lively(hub.r2plus1d_r50(model_num_class=7, head_pool_kernel_size=(1, 2, 2)))
    options = {"depths": (3, 4, 6, 3), "block": "bottleneck", "middle": "width", "stem": "2d"}
    options |= {"spatial_strides": (2, 2, 2, 2), "time_strides": (1, 1, 2, 2), "time_first": True}
    ours = classifier({"name": "videoresnet", **options}, 7, "cpu")
    assert len(ours.state_dict()) == 416
    ours.load_state_dict(branch_first(ours, peer))
    # which ends in a softmax, also in training
    agree(nn.Sequential(ours, nn.Softmax(1)).eval(), peer, side=64)


@pytest.mark.parametrize(
    ("inputs", "outputs", "middle"),
    [(64, 64, 144), (64, 128, 230), (128, 128, 288), (256, 512, 921), (512, 512, 1152), (1, 1, 2)],
)
def test_channels_between_make_up_for_one_convolution(inputs, outputs, middle):
    assert middle_channels(inputs, outputs) == middle

    def count(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    with torch.device("meta"):
        two = factorised(inputs, outputs, (1, 1, 1), middle, lambda width: nn.Identity())
        one = whole(inputs, outputs, (1, 1, 1))
    assert count(two) <= count(one)
    assert count(two) == count(one) or inputs != outputs or inputs < 64
    # one more channel would be too many
    assert count(two) + 9 * inputs + 3 * outputs > count(one)


@pytest.mark.parametrize(("middle", "found"), [("own", 288), ("block", 230), ("width", 128)])
def test_both_rules_for_the_second_convolution_of_a_first_block(middle, found):
    with torch.device("meta"):
        backbone = build("backbones", {"name": "videoresnet", "middle": middle})
    first = backbone.stages[1][0].transform
    assert first[1][0][0].out_channels == found
    assert first[0][0][0].out_channels == (128 if middle == "width" else 230)


def test_a_block_starts_as_its_shortcut():
    norm = nn.BatchNorm3d
    for bottleneck, inputs in ((False, 8), (True, 32)):
        block = VideoBlock(
            inputs, 8, (1, 1, 1), lambda i, o, s, _: whole(i, o, s), norm, bottleneck
        )
        clips = torch.rand(2, inputs, 4, 6, 6)
        torch.testing.assert_close(block(clips), clips)


def test_norms_of_ig65m():
    section = {"name": "videoresnet", "eps": 1e-3, "momentum": 0.9}
    with torch.device("meta"):
        norms = [m for m in build("backbones", section).modules() if "Norm" in type(m).__name__]
    assert len(norms) == 37 and {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.9)}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"depths": [1, 1], "convolutions": ["3d"]}, "convolutions: .* 1 entries, .* 2 stages"),
        ({"time_strides": [1, 2]}, "time_strides: .* 2 entries, the network 4 stages"),
        ({"stem_kernel": 4}, "stem_kernel"),
    ],
)
def test_networks_that_cannot_be_are_refused(options, told):
    with torch.device("meta"), pytest.raises(ValueError, match=told):
        build("backbones", {"name": "videoresnet", **options})
