"""Points of maps and subdivision: the released code's values, brute force, and what must hold."""

import math

import pytest
import torch
import torch.nn.functional as F

from models.blocks.detection.points import (
    Sampling,
    foreground,
    grid,
    in_boxes,
    least_margin,
    mask_sample,
    most_uncertain,
    on_canvas,
    point_sample,
)
from models.blocks.detection.subdivision import begun, start_of, subdivided

CLOSE = {"rtol": 1e-8, "atol": 1e-9}  # the goldens have ten decimals


def wave(*shape: int, start: float = 0) -> torch.Tensor:
    """The closed-form numbers of the goldens."""
    numbers = torch.arange(math.prod(shape), dtype=torch.float64)
    return torch.sin(0.37 * numbers + start).reshape(shape)


def bumps(places: torch.Tensor) -> torch.Tensor:
    """Logits (n, 1, p) of a closed form."""
    x, y = places.unbind(2)
    return (4 * torch.sin(7 * x) * torch.cos(5 * y))[:, None]


def test_a_grid_has_the_middles_of_its_cells_row_by_row():
    found = grid(4, 4, torch.zeros(1, dtype=torch.float64))
    told = [[0.125, 0.125], [0.375, 0.125], [0.875, 0.875]]
    torch.testing.assert_close(found[[0, 1, -1]], torch.tensor(told, dtype=torch.float64))
    wide = grid(2, 3, torch.zeros(1))
    assert wide[1].tolist() == [0.5, 0.25] and len(wide) == 6


def test_sampled_values_are_those_of_the_released_code():
    found = point_sample(wave(1, 2, 5, 7), wave(1, 6, 2, start=0.3).abs()).flatten()
    assert found[0].item() == pytest.approx(0.3290679209, rel=1e-8)
    assert found[-1].item() == pytest.approx(-0.0365678708, rel=2e-8)
    assert found.sum().item() == pytest.approx(-1.5517973150, rel=1e-8)


def test_a_map_sampled_at_its_grid_is_the_map():
    maps = wave(2, 3, 5, 7)
    places = grid(5, 7, maps).expand(2, -1, -1)
    torch.testing.assert_close(point_sample(maps, places), maps.flatten(2), **CLOSE)
    nearest = point_sample(maps, places + 0.05, "nearest")
    torch.testing.assert_close(nearest, maps.flatten(2), rtol=0, atol=0)
    assert point_sample(maps.half(), places).dtype == torch.float32


def test_masks_are_sampled_as_their_floats_would_be():
    masks = wave(3, 6, 9) > 0.2
    places = 1.4 * wave(3, 40, 2, start=1).abs() - 0.2
    wanted = point_sample(masks[:, None].double(), places)[:, 0]
    found = mask_sample(masks, places * torch.tensor([9.0, 6.0]))
    torch.testing.assert_close(found, wanted)
    assert ((found > 0) & (found < 1)).any(), "labels of points are soft"
    assert mask_sample(masks[:0], places[:0]).shape == (0, 40)


def test_points_of_boxes_are_those_of_the_canvas():
    maps = wave(2, 3, 6, 8)  # of a canvas of 24 x 32
    boxes = [torch.tensor([[3.0, 2, 19, 20], [0, 0, 32, 24]]), torch.zeros(0, 4)]
    places = [wave(2, 5, 2, start=1).abs(), torch.zeros(0, 5, 2, dtype=torch.float64)]
    found = in_boxes(maps, 4, boxes, places)
    px = on_canvas(places[0], boxes[0])
    torch.testing.assert_close(px[0, :, 0], 3 + 16 * places[0][0, :, 0])
    torch.testing.assert_close(px[0, :, 1], 2 + 18 * places[0][0, :, 1])
    for box in (0, 1):
        at = px[box] / torch.tensor([32.0, 24])
        torch.testing.assert_close(found[box], point_sample(maps[:1], at[None])[0])
    assert in_boxes(maps, 4, [boxes[1]] * 2, [places[1]] * 2).shape == (0, 3, 5)


def test_the_most_uncertain_cells_are_those_of_a_sort():
    cells, places = most_uncertain(-wave(1, 6, 6).abs(), 5)
    assert cells.tolist() == [[0, 17, 34, 25, 8]]
    assert places[0, 1].tolist() == pytest.approx([5.5 / 6, 2.5 / 6])
    maps = wave(3, 7, 4, start=2)
    sorted_cells = maps.flatten(1).argsort(1, descending=True)
    assert torch.equal(most_uncertain(maps, 9)[0], sorted_cells[:, :9])
    assert most_uncertain(maps, 99)[0].shape == (3, 28), "no more than there are"


def test_uncertainty_is_that_of_interpolated_logits():
    coarse = torch.tensor([[[[-1.0, 1.0]]]])
    halfway = torch.tensor([[[0.5, 0.5]]])
    assert foreground(point_sample(coarse, halfway)).item() == 0
    assert point_sample(foreground(coarse)[:, None], halfway).item() == -1, "the other order"
    # so that of many candidates those at the middle are taken
    sampling = Sampling(8, 20, 1.0)
    chosen = sampling.choose(coarse, foreground, sampling.draw(3, 1))
    assert (chosen[0, :, 0] - 0.5).abs().max() < 0.1


def test_the_margin_of_classes_is_between_the_two_likeliest():
    logits = torch.tensor([[[3.0], [1.0], [2.5]]])
    assert least_margin(logits).tolist() == [[-0.5]]
    assert least_margin(logits[:, :1]).tolist() == [[0]], "a single class is as sure everywhere"


def test_points_of_a_training_follow_from_the_seed_of_the_image():
    sampling = Sampling(196, 3, 0.75)
    assert (sampling.uncertain, sampling.draw(5, 2).shape) == (147, (2, 588 + 49, 2))
    logits = wave(2, 1, 7, 7, start=1).float()
    drawn = sampling.draw(5, 2)
    assert torch.equal(drawn, sampling.draw(5, 2)) and not torch.equal(drawn, sampling.draw(6, 2))
    chosen = sampling.choose(logits, foreground, drawn)
    candidates = drawn[:, :588]
    unsure = foreground(point_sample(logits, candidates))
    order = unsure.argsort(1, descending=True)[:, :147]
    wanted = candidates.gather(1, order[..., None].expand(-1, -1, 2))
    assert torch.equal(chosen[:, :147], wanted) and torch.equal(chosen[:, 147:], drawn[:, 588:])
    # each map by itself: what another region of the batch is makes no difference
    alone = sampling.choose(logits[1:], foreground, drawn[1:])
    assert torch.equal(alone[0], chosen[1])


def test_uniform_points_are_uniform():
    drawn = Sampling(1000, 1, 0.0).draw(0, 4)
    counts = torch.histc(drawn, 10, 0, 1)
    expected = drawn.numel() / 10
    assert ((counts - expected) ** 2 / expected).sum() < 27.9, "chi square, 9 degrees, 1 in 1000"


def test_subdivision_is_that_of_the_released_code():
    picked = []

    def predict(places: torch.Tensor) -> torch.Tensor:
        side = 4 * 2 ** len(picked)
        cells = (places[..., 1] * side).long() * side + (places[..., 0] * side).long()
        picked.append(sorted(cells[0].tolist()))
        return bumps(places)

    start = begun(1, 4, torch.zeros(1, dtype=torch.float64), predict)
    found = subdivided(start, 2, 6, foreground, predict).flatten()
    assert picked[1:] == [[17, 18, 19, 20, 22, 23], [55, 71, 87, 103, 231, 247]]
    told = [found[0], found[-1], found.sum(), found.abs().sum()]
    wanted = [2.4897978917, 0.2085803738, -8.2867535391, 267.2759263122]
    assert [one.item() for one in told] == pytest.approx(wanted, rel=1e-8)
    assert (found > 0).sum() == 133


@pytest.mark.parametrize("shape", [(2, 1, 4, 4), (1, 3, 3, 5)])
def test_all_points_are_the_dense_prediction_and_none_is_interpolation(shape):
    coarse = wave(*shape)

    def predict(places: torch.Tensor) -> torch.Tensor:
        return bumps(places).expand(-1, shape[1], -1)

    sides = [4 * side for side in shape[2:]]
    unsure = foreground if shape[1] == 1 else least_margin
    every = subdivided(coarse, 2, 10**4, unsure, predict)
    dense = predict(grid(*sides, coarse).expand(shape[0], -1, -1)).unflatten(2, sides)
    torch.testing.assert_close(every, dense, **CLOSE)
    none = subdivided(coarse, 2, 0, unsure, predict)
    halfway = F.interpolate(coarse, scale_factor=2, mode="bilinear")
    torch.testing.assert_close(none, F.interpolate(halfway, scale_factor=2, mode="bilinear"))


def test_steps_that_would_predict_every_point_are_left_out():
    assert start_of(7, 5, 784) == (28, 3), "the paper's 7 x 7 begins with all 28 x 28"
    assert start_of(7, 5, 783) == (14, 4)
    assert start_of(7, 1, 10**6) == (14, 0), "no further than the steps go"
    assert start_of(8, 3, 0) == (8, 3)
