"""X3D: its stages, its multiply-adds to the last digit, and PyTorchVideo's outputs."""

import pytest
import torch
from torch import nn

from engine.core.build import build
from engine.measure.complexity import measure
from tests.models.test_backbones import classifier, copied, randomised

TINY = {"name": "x3d", "width": 0.5, "depth": 1.0, "depths": [1, 1, 2, 1], "head_width": 64}
LARGE = {"name": "x3d", "depth": 5.0}


def multiply_adds(section: dict, frames: int, side: int) -> int:
    """With a layer of 400 classes, biases aside."""
    return measure(classifier(section, 400), (3, frames, side, side), "torch")["flops"] // 2


@pytest.mark.parametrize(
    ("options", "blocks", "entries"), [({}, [3, 5, 11, 7], 563), (LARGE, [5, 10, 25, 15], 1141)]
)
def test_stages_of_the_reference(options, blocks, entries):
    net = classifier({"name": "x3d"} | options, 400)
    assert len(net.state_dict()) == entries
    stages = net[0].stages
    assert [len(stage) for stage in stages] == blocks
    found = [(stage[0].transform[0], stage[-1].transform[-2]) for stage in stages]
    widths = [(a.in_channels, a.out_channels, c.out_channels) for a, c in found]
    assert widths == [(24, 54, 24), (24, 108, 48), (48, 216, 96), (96, 432, 192)]
    for stage in stages:
        gates = [hasattr(block.transform[5], "gate") for block in stage]
        assert gates == [number % 2 == 0 for number in range(len(stage))]
    assert net[0].stages[3][0].transform[5].gate[0].out_channels == 32  # 27 to whole eights


@pytest.mark.parametrize(
    ("section", "frames", "side", "macs", "places"),
    [
        ({}, 4, 160, 605_256_512, 1),
        ({}, 4, 182, 843_919_472, 4),
        ({}, 13, 160, 1_962_892_112, 1),
        ({}, 16, 160, 2_415_437_312, 1),
        ({}, 16, 224, 4_732_468_736, 1),
        ({}, 16, 256, 6_185_725_184, 4),
        ({}, 16, 312, 9_451_559_360, 1),
        (LARGE, 16, 312, 18_367_710_176, 1),
        (LARGE, 16, 356, 24_777_648_768, 9),
    ],
)
def test_multiply_adds_of_the_reference(section, frames, side, macs, places):
    # on clips larger than it was built for the reference's last two layers see several windows of
    # pooling, ours the mean of all
    behind = 432 * 2048 + 2048 * 400
    found = multiply_adds({"name": "x3d"} | section, frames, side)
    assert found == macs - (places - 1) * behind


def test_pyslowfasts_has_one_norm_more():
    [ours, theirs] = [{"name": "x3d", "shortcut_norm": shortcut} for shortcut in (False, True)]
    params = [measure(classifier(each, 400), (3, 4, 64, 64))["params"] for each in (ours, theirs)]
    assert params == [3_794_274, 3_794_322]
    large = measure(classifier(LARGE | {"shortcut_norm": True}, 400), (3, 4, 64, 64))
    assert large["params"] == 6_153_432


def test_pytorchvideos_xs_computes_the_same():
    hub = pytest.importorskip("pytorchvideo.models.hub")
    torch.manual_seed(0)
    peer = randomised(hub.x3d_xs())
    ours = copied(classifier({"name": "x3d"}, 400, "cpu"), peer)
    x = torch.randn(1, 3, 4, 160, 160)
    with torch.no_grad():
        logits = ours(x)
        torch.testing.assert_close(logits.softmax(-1), peer(x), atol=1e-5, rtol=1e-5)
        # which says little of 400 probabilities: theirs again, before their softmax
        peer.blocks[-1].activation = None
        torch.testing.assert_close(logits, peer(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "options"), [("x3d_s", {}), ("x3d_m", {}), ("x3d_l", LARGE)])
def test_pytorchvideos_larger_ones_compute_the_same(name, options):
    hub = pytest.importorskip("pytorchvideo.models.hub")
    torch.manual_seed(0)
    peer = randomised(getattr(hub, name)())
    ours = copied(classifier({"name": "x3d"} | options, 400, "cpu"), peer)
    # of smaller clips than its own, over all of which it then pools
    peer.blocks[-1].activation, peer.blocks[-1].pool.pool = None, nn.AdaptiveAvgPool3d(1)
    x = torch.randn(2, 3, 5, 80, 72)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), peer(x), atol=1e-5, rtol=1e-5)


def test_a_tiny_one_trains():
    assert measure(classifier(TINY, 8), (3, 4, 32, 32))["params"] < 1e5
    torch.manual_seed(0)
    net = classifier(TINY | {"stem_stride": 1, "drop": 0.1}, 4, "cpu")
    x, y = torch.randn(8, 3, 4, 32, 32), torch.arange(8) % 4
    optimizer, losses = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9), []
    for _ in range(30):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def test_blocks_start_as_their_shortcuts():
    net = build("backbones", TINY)
    block, x = net.stages[2][1], torch.rand(2, 24, 3, 4, 4)
    torch.testing.assert_close(block(x), x)
