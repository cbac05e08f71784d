"""R-MAC: golden values by hand, and the properties it is used for."""

import pytest
import torch
from torch import Tensor, nn

from engine.twins.features import regions, rmac, rmac_features


def test_golden_value():
    """Level 1 is the whole (3, 4), level 2 the cells (3, 4), 0, 0, (0, 2): (0.6, 0.8) twice and
    (0, 1).
    """
    maps = torch.tensor([[[[3.0, 0.0], [0.0, 0.0]], [[4.0, 0.0], [0.0, 2.0]]]])
    assert regions(2, 2, 2) == [(0, 0, 2), (0, 0, 1), (0, 1, 1), (1, 0, 1), (1, 1, 1)]
    expected = torch.tensor([[1.2, 2.6]]) / (1.2**2 + 2.6**2) ** 0.5
    torch.testing.assert_close(rmac(maps, levels=2), expected)


def test_regions_by_hand():
    """4 x 6: one more square across than down, as level 1 then overlaps by 50 %, nearer to 40 %
    than 75 %.
    """
    level1 = [(0, 0, 4), (0, 2, 4)]
    level2 = [(y, x, 2) for y in (0, 2) for x in (0, 2, 4)]
    level3 = [(y, x, 2) for y in (0, 1, 2) for x in (0, 1, 2, 4)]
    assert regions(4, 6, 3) == level1 + level2 + level3
    assert sorted((x, y, side) for y, x, side in regions(6, 4, 3)) == sorted(regions(4, 6, 3))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5), (2, 3), (7, 7), (13, 8), (3, 30)])
def test_regions_lie_inside_and_reach_all_corners(height, width):
    found = regions(height, width, 3)
    assert all(0 <= y <= height - side and 0 <= x <= width - side for y, x, side in found)
    assert min(y for y, _, _ in found) == min(x for _, x, _ in found) == 0
    assert (
        max(y + side for y, _, side in found) == height
        and max(x + side for _, x, side in found) == width
    )


def test_length_is_one_and_scale_does_not_matter():
    maps = torch.rand(3, 8, 5, 7, generator=torch.Generator().manual_seed(0))
    pooled = rmac(maps)
    torch.testing.assert_close(pooled.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(rmac(7 * maps), pooled)
    assert rmac(torch.zeros(2, 8, 4, 4)).abs().max() == 0  # a dead map stays 0, not NaN


class Net(nn.Module):
    """Two maps, of which the last counts; batch norm shows whether it is in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [images, torch.relu(self.norm(self.conv(images)))]


def test_features_of_batches_are_those_of_all():
    torch.manual_seed(0)
    net, images = Net(), torch.randn(10, 3, 9, 9)
    found = rmac_features(net, images.split(4))
    assert found.shape == (10, 6) and found.dtype == torch.float32 and not found.requires_grad
    torch.testing.assert_close(found, rmac(net.eval()(images)[-1]).detach())
