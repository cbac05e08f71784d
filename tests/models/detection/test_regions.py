"""Regions of a pyramid: RoIAlign's golden, the level of each, and their order."""

from collections import OrderedDict

import pytest
import torch
from torch import nn
from torchvision.ops import MultiScaleRoIAlign

from models.blocks.detection.regions import RegionAlign, levels_of

STRIDES = [4, 8, 16, 32]
SIDES = [1.0, 20.0, 111.0, 112.0, 223.9, 224.0, 448.0, 5000.0]
# a region for each level and a thin one, in two of three images
REGIONS = [
    torch.tensor([[10.0, 12, 30, 20], [0, 0, 256, 192], [100.5, 3.25, 220, 190]]),
    torch.zeros(0, 4),
    torch.tensor([[5.0, 7, 250, 188], [40, 40, 160, 170], [200, 10, 200.5, 180]]),
]


def pyramid(dtype=torch.float32):
    torch.manual_seed(0)
    return [torch.randn(3, 5, 192 // stride, 256 // stride, dtype=dtype) for stride in STRIDES]


def test_golden_of_detectron2():
    """arange(25), whose values are linear in x and y."""
    grid = torch.arange(25.0).view(1, 1, 5, 5)
    box = [torch.tensor([[1.0, 1, 3, 3]])]
    rows = torch.tensor([4.5, 7.0, 9.5, 12.0])[:, None] + torch.arange(4) * 0.5
    found = RegionAlign([1], 4)([grid], box)
    torch.testing.assert_close(found, rows[None, None])
    at_corners = RegionAlign([1], 4, aligned=False)([grid], box)
    torch.testing.assert_close(at_corners, rows[None, None] + 0.5 + 5 * 0.5)


@pytest.mark.parametrize(
    ("strides", "canonical", "expected"),
    [
        (STRIDES, 224, [0, 0, 0, 1, 1, 2, 3, 3]),
        (STRIDES, 56, [0, 0, 2, 3, 3, 3, 3, 3]),
        ([8, 16], 224, [0, 0, 0, 0, 0, 1, 1, 1]),
        ([16], 224, [0] * 8),
    ],
)
def test_level_by_the_side_of_a_region(strides, canonical, expected):
    sides = torch.tensor(SIDES)
    origin = torch.full_like(sides, 3.0)
    # of equation 1 the area counts, not the shape
    boxes = torch.stack((origin, origin, origin + 2 * sides, origin + sides / 2), 1)
    assert levels_of(boxes, strides, canonical).tolist() == expected
    assert levels_of(torch.zeros(1, 4), strides).tolist() == [0]


def test_regions_are_those_of_torchvision_in_the_order_of_the_images():
    maps = pyramid()
    theirs = MultiScaleRoIAlign(["0", "1", "2", "3"], 7, 2)
    named = OrderedDict((str(level), each) for level, each in enumerate(maps))
    expected = theirs(named, REGIONS, [(192, 256)] * 3)
    ours = RegionAlign(STRIDES, 7, aligned=False)
    torch.testing.assert_close(ours(maps, REGIONS), expected)
    assert ours(maps, [REGIONS[1]] * 3).shape == (0, 5, 7, 7)


def test_half_precision_keeps_places_of_whole_pixels():
    halves = [each.bfloat16() for each in pyramid()]
    align = RegionAlign(STRIDES, 7)
    expected = align([each.float() for each in halves], REGIONS)
    torch.testing.assert_close(align(halves, REGIONS), expected, rtol=0, atol=0)


def test_gradients_reach_the_level_of_a_region_alone():
    maps = nn.ParameterList(pyramid())
    RegionAlign(STRIDES, 7)(list(maps), [REGIONS[0][:1], REGIONS[1], REGIONS[1]]).sum().backward()
    assert [bool(each.grad.any()) for each in maps] == [True, False, False, False]
