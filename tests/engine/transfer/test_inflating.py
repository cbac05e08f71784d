"""Weights of images in networks of clips: exact on a still clip, and where they are not."""

from pathlib import Path

import pytest
import torch
from torch import nn

from engine.core import checkpoint
from engine.core.build import build
from engine.transfer.inflating import inflated
from engine.transfer.weights import Init, init_keys, init_of, load_released, released_tensors
from tests.models.video.test_trunks import lively

SIZES = {"depths": [1] * 4, "width": 4, "stem_width": 4, "stem": "simple"}
IMAGES = {"name": "resnet", **SIZES}
CLIPS = {"name": "resnet3d", **SIZES}
NONLOCAL = {"after": {"name": "non_local"}, "after_at": [[], "all", [], []]}


def source(**more) -> nn.Module:
    torch.manual_seed(0)
    net = build("backbones", IMAGES | more)
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.0)
        norm.running_mean.normal_(std=0.1)
        norm.running_var.uniform_(0.5, 1.5)
    # so that thirds of a weight add up to it again
    return net.double().eval()


def of_clips(net: nn.Module, folder, rule: str = "repeat", form: str = "torchvision", **more):
    """A network of clips with the weights of one of images, by way of a file."""
    file = folder / "images.pth"
    if form == "native":
        checkpoint.save_tensors(file, released_tensors(net, form), {})
    else:
        torch.save(released_tensors(net, form), file)
    made = lively(build("backbones", CLIPS | more)).double()
    told = load_released(made, Init(file, form, rule))
    assert f"{told.split(' ')[2]} of {told.split(' ')[2]} tensors" in told
    assert f"inflated over time ({rule})" in told
    return made


@torch.no_grad()
def frame_by_frame(net: nn.Module, clips: torch.Tensor) -> list[torch.Tensor]:
    """The maps of each frame, put together as those of a clip."""
    maps = net(clips.transpose(1, 2).flatten(0, 1))
    return [m.unflatten(0, (len(clips), -1)).transpose(1, 2) for m in maps]


def still(frames: int) -> torch.Tensor:
    torch.manual_seed(2)
    return torch.randn(2, 3, 1, 24, 24, dtype=torch.float64).repeat(1, 1, frames, 1, 1)


def close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.allclose(found, expected, atol=1e-10, rtol=1e-10)


def test_the_two_rules_by_hand():
    weight = torch.tensor([3.0, 6.0]).view(1, 2, 1, 1)
    assert inflated(weight, 3).flatten().tolist() == [1, 1, 1, 2, 2, 2]
    assert inflated(weight, 3, "centre").flatten().tolist() == [0, 3, 0, 0, 6, 0]
    assert inflated(weight, 1).shape == (1, 2, 1, 1, 1)


@pytest.mark.parametrize("form", ["torchvision", "native"])
def test_c2d_gives_of_a_still_clip_what_its_source_gives_of_the_image(form, tmp_path):
    net = source()
    ours = of_clips(net, tmp_path, form=form, temporal="c2d")
    clips = still(5)
    for found, expected in zip(ours(clips), frame_by_frame(net, clips), strict=True):
        # after the pool over time there are fewer frames, all alike
        assert close(found, expected[:, :, : found.shape[2]])


@pytest.mark.parametrize("temporal", ["i3d", "slow", "fast"])
def test_centred_filters_give_of_any_clip_what_their_source_gives_of_its_frames(temporal, tmp_path):
    net = source()
    ours = of_clips(net, tmp_path, "centre", temporal=temporal, time_pool=False)
    clips = torch.randn(2, 3, 4, 24, 24, dtype=torch.float64)
    for found, expected in zip(ours(clips), frame_by_frame(net, clips), strict=True):
        assert close(found, expected)


@pytest.mark.parametrize("temporal", ["i3d", "slow", "fast"])
def test_repeated_filters_are_exact_on_a_still_clip_where_no_padding_is_seen(temporal, tmp_path):
    net = source()
    ours = of_clips(net, tmp_path, temporal=temporal, time_pool=False)
    clips, seen = still(15), ours.stem[0].kernel_size[0] // 2
    expected = frame_by_frame(net, clips)
    for stage, found, wanted in zip(ours.stages, ours(clips), expected, strict=True):
        seen += stage[0].transform[0].kernel_size[0] // 2
        inside = slice(seen, 15 - seen)
        assert close(found[:, :, inside], wanted[:, :, inside])
        # the ends see zeros in the place of frames before and after
        if seen:
            assert not close(found[:, :, 0], wanted[:, :, 0])
            assert not close(found[:, :, -1], wanted[:, :, -1])


def test_inflated_i3d_is_exact_behind_its_pool_over_time_too(tmp_path):
    net = source()
    clips = still(32)
    found, wanted = of_clips(net, tmp_path, temporal="i3d")(clips), frame_by_frame(net, clips)
    for ours, expected in zip(found, wanted, strict=True):
        middle = ours.shape[2] // 2
        assert close(ours[:, :, middle], expected[:, :, 0])


def test_non_local_blocks_come_along(tmp_path):
    net = source(**NONLOCAL)
    ours = of_clips(net, tmp_path, form="native", temporal="c2d", time_pool=False, **NONLOCAL)
    # the softmax over the places of all frames is that over the places of one, as all are alike
    clips = still(3)
    for found, expected in zip(ours(clips), frame_by_frame(net, clips), strict=True):
        assert close(found, expected)


@pytest.mark.parametrize(
    ("section", "told"),
    [
        (CLIPS | {"depths": [1, 1, 2, 1]}, r"missing: .*layer3\.1\.conv1\.weight"),
        (CLIPS | {"width": 8}, r"of another shape: .*layer1\.0\.conv1\.weight is \(4, 4, 1, 1\)"),
        (CLIPS | {"stem": "imagenet"}, r"1 of another shape: conv1\.weight is \(4, 3, 3, 3\) and"),
        ({"name": "slowfast"}, "torchvision has no names for a slowfast"),
    ],
)
def test_what_does_not_fit_is_listed(section, told, tmp_path):
    file = tmp_path / "images.pth"
    torch.save(released_tensors(source(), "torchvision"), file)
    with pytest.raises(ValueError, match=told):
        load_released(build("backbones", section), Init(file, "torchvision"))


def test_the_rule_is_a_key_of_the_section():
    section = {"file": "a.pth", "format": "torchvision"}
    assert init_of(section, "init").inflate == "repeat"
    assert init_of(section | {"inflate": "centre"}, "init") == (
        Path("a.pth"),
        "torchvision",
        "centre",
    )
    assert init_keys(section | {"inflate": "centre", "candidate": "x"})["inflate"] == "centre"
    with pytest.raises(ValueError, match=r"init\.inflate"):
        init_of(section | {"inflate": "middle"}, "init")
