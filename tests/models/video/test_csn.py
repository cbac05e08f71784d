"""CSN: every 3x3x3 of one channel each, and the same outputs as pytorchvideo's."""

import pytest
import torch
from torch import nn

from engine.core.build import build
from models.blocks.layers.video.factorised import whole
from models.blocks.layers.video.videoresnet import VideoBlock
from tests.models.test_backbones import classifier
from tests.models.video.test_trunks import lively
from tests.models.video.test_videoresnet import agree, branch_first

DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


@pytest.mark.parametrize(
    ("depth", "interaction", "entries"),
    [
        (50, "reduced", 320),
        (50, "preserved", 416),
        (101, "reduced", 626),
        (101, "preserved", 824),
        (152, "reduced", 932),
        (152, "preserved", 1232),
    ],
)
def test_every_3x3x3_is_of_one_channel_each(depth, interaction, entries):
    section = {"name": "csn", "depths": DEPTHS[depth], "interaction": interaction}
    net = classifier(section, 400)
    assert len(net.state_dict()) == entries
    convs = [m for m in net[0].stages.modules() if isinstance(m, nn.Conv3d)]
    cubes = [m for m in convs if m.kernel_size == (3, 3, 3)]
    assert len(cubes) == sum(DEPTHS[depth])
    assert all(m.groups == m.in_channels == m.out_channels for m in cubes)
    assert all(m.kernel_size == (1, 1, 1) and m.groups == 1 for m in convs if m not in cubes)
    for stage, first in enumerate(stage[0] for stage in net[0].stages):
        strided = [m for m in first.transform.modules() if getattr(m, "stride", 1) == (2, 2, 2)]
        assert strided == [m for m in first.modules() if m in cubes and stage]


def test_pytorchvideos_csn_r101_computes_the_same():
    hub = pytest.importorskip("pytorchvideo.models.hub")
    torch.manual_seed(0)
    peer = lively(hub.csn_r101(model_num_class=7))
    peer.blocks[-1].pool = nn.AdaptiveAvgPool3d(1)
    nn.init.normal_(peer.blocks[-1].proj.weight, std=0.05)
    ours = classifier({"name": "csn", "depths": DEPTHS[101]}, 7, "cpu")
    ours.load_state_dict(branch_first(ours, peer))
    agree(ours.eval(), peer, frames=8)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_channelwise_block_is_an_ordinary_one_of_block_diagonal_weight(stride):
    section = {"name": "csn", "depths": (1, 2), "width": 6, "stem_width": 8}
    block = lively(build("backbones", section).stages[1][2 - stride])
    strides = (stride,) * 3 if stride > 1 else (1, 1, 1)
    inputs = 24 if stride > 1 else 48
    ordinary = VideoBlock(
        inputs, 12, strides, lambda i, o, s, _: whole(i, o, s), nn.BatchNorm3d, bottleneck=True
    )
    state = block.state_dict()
    kernel = state["transform.1.0.weight"]
    dense = torch.zeros(12, 12, 3, 3, 3)
    dense[range(12), range(12)] = kernel[:, 0]
    ordinary.load_state_dict(state | {"transform.1.0.weight": dense})
    clips = torch.randn(2, inputs, 5, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(block(clips), ordinary.eval()(clips), atol=1e-5, rtol=1e-5)


def test_the_mixing_before_a_channelwise_convolution_is_not_rectified():
    section = {"name": "csn", "depths": (1,), "interaction": "preserved", "width": 4}
    layers = [type(m).__name__ for m in build("backbones", section).stages[0][0].transform[1][0]]
    assert layers == ["OverTime", "BatchNorm3d", "DepthwiseConv3d"]
