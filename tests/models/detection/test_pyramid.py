"""The feature pyramid: torchvision's numbers, levels by name, strides that it can take."""

from collections import OrderedDict

import pytest
import torch
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool, LastLevelP6P7

from models.blocks.detection.pyramid import Pyramid
from models.blocks.layers.patches import WHOLE

CHANNELS, STRIDES = [4, 8, 16, 16], [4, 8, 16, 32]
MAPS = [
    torch.sin(torch.arange(2.0 * c * (96 // s) ** 2)).view(2, c, 96 // s, 96 // s)
    for c, s in zip(CHANNELS, STRIDES, strict=True)
]


def p6p7(from_last_level: bool) -> LastLevelP6P7:
    made = LastLevelP6P7(16, 16)
    made.use_P5 = from_last_level
    return made


@pytest.mark.parametrize(
    ("extra", "theirs", "strides"),
    [
        ("none", lambda: None, [8, 16, 32]),
        ("pool", LastLevelMaxPool, [8, 16, 32, 64]),
        # the last map is as wide as the pyramid: torchvision would take P5 for both
        ("convs_c5", lambda: p6p7(False), [8, 16, 32, 64, 128]),
        ("convs_p5", lambda: p6p7(True), [8, 16, 32, 64, 128]),
    ],
)
@pytest.mark.parametrize("norm", ["none", "batch", "group"])
def test_levels_are_those_of_torchvision(extra, theirs, strides, norm):
    torch.manual_seed(0)
    pooled = torch.ones(2, 99, 1, 1)
    ours = Pyramid([*CHANNELS, 99], [*STRIDES, WHOLE], 16, 1, extra, norm)
    layers = {"none": None, "batch": torch.nn.BatchNorm2d, "group": lambda c: ours_group(c)}
    twin = FeaturePyramidNetwork(CHANNELS[1:], 16, theirs(), layers[norm])
    twin.load_state_dict(ours.fpn.state_dict())
    expected = twin(OrderedDict((str(i), each) for i, each in enumerate(MAPS[1:])))
    found = ours([*MAPS, pooled])
    assert ours.strides == strides
    assert [each.shape[1:] for each in found] == [(16, -(-96 // s), -(-96 // s)) for s in strides]
    for level, other in zip(found, expected.values(), strict=True):
        assert torch.equal(level, other)


def ours_group(channels: int) -> torch.nn.GroupNorm:
    return torch.nn.GroupNorm(4, channels)  # of 4 channels each


def test_group_norm_has_the_groups_that_divide_the_width():
    for width, groups in [(256, 32), (128, 32), (48, 12), (6, 1), (3, 1)]:
        made = Pyramid([8], [8], width, norm="group").modules()
        assert {m.num_groups for m in made if isinstance(m, torch.nn.GroupNorm)} == {groups}


def test_of_maps_of_one_stride_the_last_is_taken():
    ours = Pyramid([3, 4, 5, 6], [4, 8, 8, 16], 8)
    assert ours.places == [0, 2, 3] and ours.strides == [4, 8, 16]
    maps = [torch.randn(1, c, s, s) for c, s in [(3, 8), (4, 4), (5, 4), (6, 2)]]
    assert [each.shape[1] for each in ours(maps)] == [8, 8, 8]


@pytest.mark.parametrize(
    ("strides", "lowest", "message"),
    [([4, 16], 0, "strides double.*choose its maps"), ([4, WHOLE], 1, "finds none.*lower")],
)
def test_maps_that_make_no_pyramid_are_refused(strides, lowest, message):
    with pytest.raises(ValueError, match=message):
        Pyramid([8, 8], strides, 8, lowest)
