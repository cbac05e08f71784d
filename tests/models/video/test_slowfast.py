"""SlowFast: both pathways block by block, their packing, PyTorchVideo's outputs, released names."""

from operator import attrgetter

import pytest
import torch
from torch import nn

from engine.core.build import build
from engine.measure.complexity import measure
from models.blocks.layers.video.pathways import slowed
from tests.models.test_backbones import classifier, randomised
from tests.models.video.copying import copied

TINY = {"name": "slowfast", "depths": [1] * 4, "width": 8, "stem": "simple", "stem_width": 8}
R101 = {"depths": (3, 4, 23, 3), "lateral_kernel": 5}
SIX = {"temporal_at": ["all", "all", [0, 1, 2, 3, 4, 5], "all"]}


def on_meta(section: dict) -> nn.Module:
    with torch.device("meta"):
        return build("backbones", {"name": "slowfast"} | section)


def params(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def path(net: nn.Module, name: str) -> list[list[nn.Module]]:
    """The blocks of one pathway, stage by stage."""
    return [list(map(attrgetter(name), stage)) for stage in net.stages]


def over_time(block: nn.Module) -> int:
    return block.transform[0].kernel_size[0]


def test_pathways_block_by_block():
    net = on_meta({})
    slow = [params(net.stem.slow), *(sum(map(params, stage)) for stage in path(net, "slow"))]
    fast = [params(net.stem.fast), *(sum(map(params, stage)) for stage in path(net, "fast"))]
    assert slow == [9_536, 220_928, 1_260_544, 10_211_328, 21_125_120]
    assert fast == [5_896, 4_832, 27_008, 158_208, 318_208]
    laterals = [stage[0].lateral[0] for stage in net.stages]
    shapes = [(conv.in_channels, conv.out_channels, conv.kernel_size[0]) for conv in laterals]
    assert shapes == [(8, 16, 7), (32, 64, 7), (64, 128, 7), (128, 256, 7)]
    assert [stage[0].slow.transform[0].in_channels for stage in net.stages] == [80, 320, 640, 1280]
    frames = [list(map(over_time, stage)) for stage in path(net, "slow")]
    assert frames == [[1] * 3, [1] * 4, [3] * 6, [3] * 3]
    assert [set(map(over_time, stage)) for stage in path(net, "fast")] == [{3}] * 4
    assert net.channels == [256, 512, 1024, 2048, 256, 2304]
    assert len(classifier({"name": "slowfast"}, 400).state_dict()) == 662


@pytest.mark.parametrize(
    ("section", "frames", "macs"),
    [
        ({}, 32, 65_711_652_864),
        (R101, 32, 125_908_303_872),
        (R101 | SIX, 64, 213_023_997_952),
    ],
)
def test_multiply_adds_of_the_reference(section, frames, macs):
    net = classifier({"name": "slowfast"} | section, 400)
    # theirs classifies each of 2 x 2 windows of pooling, ours the mean of all
    assert measure(net, (3, frames, 256, 256), "torch")["flops"] // 2 == macs - 3 * 2304 * 400


def test_the_slow_pathways_frames():
    clips = torch.arange(32.0).view(1, 1, 32, 1, 1)
    assert slowed(clips, 4).flatten().tolist() == [0, 4, 8, 13, 17, 22, 26, 31]
    assert slowed(clips, 8).flatten().tolist() == [0, 10, 20, 31]
    assert slowed(clips, 32).flatten().tolist() == [0]
    assert torch.equal(slowed(clips, 1), clips)
    with pytest.raises(ValueError, match="clips of 32 frames have no slow pathway of alpha 5"):
        slowed(clips, 5)


@pytest.mark.parametrize(
    ("section", "theirs", "frames"),
    [
        ({}, "slowfast_r50", 16),
        (R101, "slowfast_r101", 8),
        (R101 | SIX, "slowfast_16x8_r101_50_50", 8),
    ],
)
def test_pytorchvideo_computes_the_same(section, theirs, frames):
    hub = pytest.importorskip("pytorchvideo.models.hub")
    torch.manual_seed(0)
    peer = randomised(getattr(hub, theirs)())
    # of smaller clips than its own, over all of which it then pools
    peer.blocks[5].pool = nn.ModuleList([nn.AdaptiveAvgPool3d(1), nn.AdaptiveAvgPool3d(1)])
    ours = copied(classifier({"name": "slowfast"} | section, 400, "cpu"), peer)
    clips = torch.randn(1, 3, frames, 64, 64)
    with torch.no_grad():
        expected = peer([slowed(clips, 4), clips])
        torch.testing.assert_close(ours(clips), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"beta": 1 / 3}, "beta: 0.333333 of 8 channels is no whole number"),
        ({"beta": 1 / 16}, "no whole number"),
        ({"lateral_kernel": 4}, "odd number"),
        ({"after_at": [[], [1], [], []]}, "after_at: stage 2 has 1 blocks"),
        ({"norm": {"name": "gnconv"}}, "norm: this slot goes into `spatial`"),
    ],
)
def test_what_does_not_fit_is_told(wrong, told):
    with pytest.raises(ValueError, match=told):
        build("backbones", TINY | wrong)


def test_a_tiny_one_trains_on_motion_that_the_slow_pathway_does_not_see():
    torch.manual_seed(0)
    net = classifier(TINY | {"stem_stride": 1}, 2, "cpu")
    assert params(net) < 0.2e6
    # all frames that the slow pathway takes are alike: a flash is at one of two times between them
    clips = torch.zeros(8, 3, 8, 16, 16)
    clips[::2, :, 2], clips[1::2, :, 2:4] = 1, 1
    assert slowed(clips, 4).count_nonzero() == 0
    optimizer = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9)
    for _ in range(30):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(clips), torch.arange(8) % 2)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3
    assert all(p.grad is not None for p in net.parameters())
