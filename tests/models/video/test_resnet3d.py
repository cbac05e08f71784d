"""C2D, I3D and Slow: kernels over time, PyTorchVideo's outputs, the multiply-adds of the papers."""

import math

import pytest
import torch
from torch import nn

from engine.core.build import build
from engine.measure.complexity import measure
from models.blocks.layers.video.nonlocal3d import NonLocal3d
from models.blocks.layers.video.overtime import OverTime
from models.blocks.layers.video.resnet3d import kernels_of
from tests.models.test_backbones import classifier, randomised
from tests.models.video.copying import copied

TINY = {"name": "resnet3d", "depths": [1] * 4, "width": 8, "stem": "simple", "stem_width": 8}
FOUR = (3, 4, 6, 3)


@pytest.mark.parametrize(
    ("temporal", "depths", "stem", "blocks"),
    [
        ("c2d", FOUR, 1, [[1] * 3, [1] * 4, [1] * 6, [1] * 3]),
        ("i3d", FOUR, 5, [[3] * 3, [3, 1] * 2, [3, 1] * 3, [1, 3, 1]]),
        ("slow", FOUR, 1, [[1] * 3, [1] * 4, [3] * 6, [3] * 3]),
        ("fast", FOUR, 5, [[3] * 3, [3] * 4, [3] * 6, [3] * 3]),
        ("slow", (1, 1, 1), 1, [[1], [3], [3]]),
        ("i3d", (2,), 5, [[3, 3]]),
        ([[3], [1], [5, 1]], (1, 3), 3, [[1], [5, 1, 5]]),
    ],
)
def test_kernels_over_time(temporal, depths, stem, blocks):
    assert kernels_of(temporal, depths) == (stem, blocks)
    with torch.device("meta"):
        net = build("backbones", {"name": "resnet3d", "temporal": temporal, "depths": depths})
    assert net.stem[0].kernel_size == (stem, 7, 7)
    found = [block.transform[0].kernel_size for block in net.layers()[1:]]
    assert found == [(size, 1, 1) for stage in blocks for size in stage]
    assert {block.transform[3].kernel_size for block in net.layers()[1:]} == {(1, 3, 3)}


def test_only_the_blocks_of_temporal_at_see_other_frames():
    at = [[], [0], "last", "all"]
    found = kernels_of("fast", FOUR, at)
    assert found == (5, [[1] * 3, [3, 1, 1, 1], [1] * 5 + [3], [3] * 3])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"temporal": [[1], [3]]}, "give a list of one number for the stem, then a list for each"),
        ({"temporal": [[1, 3], *[[3]] * 4]}, "a list of one number for the stem"),
        ({"temporal": [[1], [3], [2], [3], [3]]}, "odd number"),
        ({"temporal": "c3d"}, "temporal"),
        ({"temporal_at": ["all"]}, "temporal_at: .* 1 entries, the network 4 stages"),
        ({"after": {"name": "global_context"}}, "after: this slot is for maps of images"),
        ({"norm": {"name": "non_local"}}, "goes into `after`"),
    ],
)
def test_what_does_not_fit_is_told(wrong, told):
    with pytest.raises(ValueError, match=told):
        build("backbones", TINY | wrong)


@pytest.mark.parametrize(
    ("section", "macs"),
    [
        ({}, 54_520_840_192),
        ({"temporal": "c2d"}, 25_462_702_080),
        ({"temporal": "i3d"}, 37_106_089_984),
    ],
)
def test_multiply_adds_of_the_reference(section, macs):
    found = measure(classifier({"name": "resnet3d"} | section, 400), (3, 8, 256, 256), "torch")
    # theirs classifies each of 2 x 2 windows of pooling, ours the mean of all
    assert found["flops"] // 2 == macs - 3 * 2048 * 400


@pytest.mark.parametrize(
    ("temporal", "theirs"), [("slow", "slow_r50"), ("c2d", "c2d_r50"), ("i3d", "i3d_r50")]
)
def test_pytorchvideo_computes_the_same(temporal, theirs):
    hub = pytest.importorskip("pytorchvideo.models.hub")
    torch.manual_seed(0)
    peer = randomised(getattr(hub, theirs)())
    # of smaller clips than its own, over all of which it then pools
    peer.blocks[-1].pool = nn.AdaptiveAvgPool3d(1)
    ours = copied(classifier({"name": "resnet3d", "temporal": temporal}, 400, "cpu"), peer)
    x = torch.randn(1, 3, 8, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), peer(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last_3d])
def test_over_time_is_the_convolution_that_it_stands_for(stride, form):
    torch.manual_seed(0)
    options = {"stride": (stride, 1, 1), "padding": (2, 0, 0), "dtype": torch.float64}
    one, two = OverTime(6, 4, (5, 1, 1), **options), nn.Conv3d(6, 4, (5, 1, 1), **options)
    two.load_state_dict(one.state_dict())
    x = torch.randn(2, 6, 9, 3, 4, dtype=torch.float64).contiguous(memory_format=form)
    found = []
    for conv in (one, two):
        given = x.clone().requires_grad_()
        made = conv(given)
        made.square().sum().backward()
        found.append((made, given.grad, conv.weight.grad, conv.bias.grad))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


def test_a_non_local_block_starts_as_the_identity_and_then_sees_all_frames():
    torch.manual_seed(0)
    section = TINY | {"stem_stride": 1}
    after = {"after": {"name": "non_local"}, "after_at": [[], "all", "all", []]}
    one, two = build("backbones", section), build("backbones", section | after)
    two.load_state_dict(one.state_dict(), strict=False)
    x = torch.randn(1, 3, 4, 16, 16)
    for ours, theirs in zip(one.eval()(x), two.eval()(x), strict=True):
        assert torch.equal(ours, theirs)
    block = NonLocal3d(8, subsample=True).double()
    nn.init.ones_(block.norm.weight)
    x = torch.randn(1, 8, 4, 5, 5, dtype=torch.float64, requires_grad=True)
    block.eval()(x)[0, :, 0, 0, 0].sum().backward()
    assert (x.grad[0].abs().amax(0).flatten(1) > 0).any(1).all()


def test_a_non_local_block_of_clips_is_that_of_frames_side_by_side():
    nonlocality = build("slots", {"name": "non_local", "channels": 8}).double().eval()
    block = NonLocal3d(8).double().eval()
    torch.manual_seed(0)
    for name, tensor in nonlocality.state_dict().items():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
            block.state_dict()[name].copy_(tensor.view_as(block.state_dict()[name]))
    x = torch.randn(2, 8, 3, 4, 5, dtype=torch.float64)
    expected = nonlocality(x.flatten(2, 3)).view_as(x)
    torch.testing.assert_close(block(x), expected, atol=1e-10, rtol=1e-10)


@pytest.mark.parametrize("temporal", ["c2d", "i3d", "slow", "fast"])
def test_tiny_ones_take_any_clip(temporal):
    net = build("backbones", TINY | {"temporal": temporal, "norm": {"name": "group_norm"}})
    assert sum(p.numel() for p in net.parameters()) < 0.2e6
    for frames, side in ((1, 17), (5, 32)):
        maps = net(torch.randn(2, 3, frames, side, side))
        lengths = [math.ceil(frames / time) for time in net.times]
        assert [m.shape[2] for m in maps] == lengths
        maps[-1].mean().backward()
    assert all(p.grad is not None for p in net.parameters())
