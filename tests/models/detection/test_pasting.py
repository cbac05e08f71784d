"""Masks of boxes as masks of images: bilinear samples at the pixels' middles, then a threshold."""

import pytest
import torch
import torch.nn.functional as F

from models.blocks.detection.pasting import pasted

SIDES = (40, 56)
BOXES = torch.tensor(
    [
        [3.0, 5, 31, 33],  # 28 px: a pixel for each cell
        [10.3, 2.7, 41.9, 38.2],
        [-12.5, -3, 20, 25.5],  # beyond two borders
        [40, 30, 80, 70],
        [20, 20, 20.6, 39],  # thinner than a pixel
        [0, 0, 56, 40],
    ]
)


def drawn(side=28, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(len(BOXES), side, side, generator=generator)


def by_grid(masks, boxes, threshold):
    """Every pixel of the image sampled, as detectron2 does."""
    height, width = SIDES
    x1, y1, x2, y2 = boxes.double().unbind(1)
    x = (torch.arange(width) + 0.5 - x1[:, None]) / (x2 - x1)[:, None] * 2 - 1
    y = (torch.arange(height) + 0.5 - y1[:, None]) / (y2 - y1)[:, None] * 2 - 1
    across = x[:, None].expand(-1, height, -1)
    down = y[:, :, None].expand(-1, -1, width)
    grid = torch.stack((across, down), 3)
    sampled = F.grid_sample(masks[:, None].double(), grid, align_corners=False)[:, 0]
    # of numbers within a rounding of the threshold either answer is right
    return sampled >= threshold, (sampled - threshold).abs() > 1e-6


@pytest.mark.parametrize("side", [1, 7, 28, 224])
@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.6])
def test_each_pixel_is_a_sample_at_its_middle(side, threshold):
    expected, clear = by_grid(drawn(side), BOXES, threshold)
    found = pasted(drawn(side), BOXES, SIDES, threshold)
    assert found.shape == (len(BOXES), *SIDES) and found.dtype == torch.bool
    assert ((found == expected) | ~clear).all()
    assert expected.any() and not expected.all()


def test_a_mask_of_as_many_cells_as_pixels_is_itself():
    found = pasted(drawn(), BOXES[:1].repeat(6, 1), SIDES)
    assert torch.equal(found[:, 5:33, 3:31], drawn() >= 0.5)
    assert found.sum() == (drawn() >= 0.5).sum()


def test_a_full_mask_is_its_box():
    """Of whole px, wherever it lies, and cut off at the image's border."""
    boxes = torch.tensor([[4.0, 7, 19, 12], [-5, -5, 3, 2], [50, 33, 99, 99]])
    found = pasted(torch.ones(3, 28, 28), boxes, SIDES)
    for mask, (x1, y1, x2, y2) in zip(found, boxes.long().clamp(min=0).tolist(), strict=True):
        assert mask[y1:y2, x1:x2].all() and mask.sum() == mask[y1:y2, x1:x2].numel()


@pytest.mark.parametrize(
    "box", [[5.0, 5, 5, 30], [30, 5, 10, 30], [60, 5, 90, 30], [-50, 5, -20, 30], [5, 90, 8, 99]]
)
def test_what_has_no_area_or_lies_outside_is_empty(box):
    assert not pasted(torch.ones(1, 28, 28), torch.tensor([box]), SIDES).any()
    assert not pasted(torch.ones(1, 1, 1), torch.full((1, 4), torch.nan), SIDES).any()


def test_nothing_and_half_precision():
    assert pasted(torch.zeros(0, 28, 28), torch.zeros(0, 4), SIDES).shape == (0, *SIDES)
    halves = drawn().bfloat16()
    expected = pasted(halves.float(), BOXES, SIDES)
    assert torch.equal(pasted(halves, BOXES, SIDES), expected)
