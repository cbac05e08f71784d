"""Intervals over seeds and test images: known cases, ends that make sense, and coverage."""

import numpy as np
import pytest
from scipy import stats

from benchmarks import coverage
from engine.measure.intervals import (
    accuracy_interval,
    gain_interval,
    mean_squares,
    quantile,
    variance_parts,
)
from metrics.blocks.proportions import wilson


def hits(seeds: int, images: int, right: int) -> np.ndarray:
    """The same images right for every seed."""
    return np.repeat(np.arange(images)[None] < right, seeds, 0)


def flipped(shape: tuple[int, int], share: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < share


def test_mean_squares_are_those_of_the_sums_written_out():
    values = flipped((3, 7), 0.6).astype(float)
    found, mean = mean_squares(values), values.mean()
    seed = sum(7 * (row.mean() - mean) ** 2 for row in values) / 2
    image = sum(3 * (column.mean() - mean) ** 2 for column in values.T) / 6
    rest = 0.0
    for s, i in np.ndindex(3, 7):
        rest += (values[s, i] - values[s].mean() - values[:, i].mean() + mean) ** 2 / 12
    assert (found.seed, found.image, found.rest) == pytest.approx((seed, image, rest))
    assert found.mean == pytest.approx(mean)
    stacked = mean_squares(np.stack([values, 1 - values]))
    assert stacked.rest == pytest.approx([rest, rest])


@pytest.mark.parametrize(("right", "images"), [(0, 100), (3, 7), (438, 438), (235, 438), (1, 1)])
def test_one_seed_has_wilsons_interval(right, images):
    found = accuracy_interval(hits(1, images, right))
    assert found[1:] == pytest.approx([100 * end for end in wilson(right, images)], abs=1e-4)


def test_seeds_that_agree_are_worth_one():
    """Neighbours with the same labels have no spread: their interval is that of the images."""
    one, five = (accuracy_interval(hits(seeds, 438, 235)) for seeds in (1, 5))
    assert five == pytest.approx(one, abs=0.01)
    assert five.high - five.low > 9


def test_many_images_leave_the_interval_of_the_seeds():
    """Where images hardly vary the error is Student's."""
    shares = np.array([0.60, 0.64, 0.65, 0.59, 0.62])
    values = np.stack([np.arange(40_000) % 1000 < 1000 * share for share in shares])
    found = accuracy_interval(np.stack([np.roll(row, 137 * i) for i, row in enumerate(values)]))
    expected = stats.ttest_1samp(100 * shares, 0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.25)


def test_the_quantile_is_students_or_normal_where_one_part_is_all():
    one, none = np.array(1.0), np.array(0.0)
    assert quantile(one, none, 5) == pytest.approx(stats.t.ppf(0.975, 4), rel=0.02)
    assert quantile(none, one, 5) == pytest.approx(stats.norm.ppf(0.975), abs=1e-3)
    draw = np.random.default_rng(0)
    error = draw.standard_t(2, 400_000) + draw.standard_normal(400_000)
    assert quantile(one, one, 3) * 2**0.5 == pytest.approx(np.quantile(abs(error), 0.95), rel=0.02)


@pytest.mark.parametrize("seeds", [1, 2, 5])
@pytest.mark.parametrize("value", [True, False])
def test_all_right_or_all_wrong_is_never_certain(seeds, value):
    found = accuracy_interval(np.full((seeds, 50), value))
    assert found.high - found.low > 5 and 0 <= found.low <= found.mean <= found.high <= 100
    assert found.mean in (found.low, found.high)


def test_a_single_miss_widens_and_does_not_narrow():
    right = np.ones((5, 100), bool)
    whole = accuracy_interval(right)
    right[2, 7] = False
    assert accuracy_interval(right).high > 99.9 and accuracy_interval(right).low < whole.low + 0.5


def test_a_gain_is_paired_and_never_certain():
    ours = flipped((5, 438), 0.6)
    same = gain_interval(ours, ours)
    assert same.mean == 0 and same.low == -same.high < -0.5
    theirs = ours & flipped((5, 438), 0.9, seed=1)  # right for some of the same images
    paired, other = gain_interval(ours, theirs), gain_interval(ours, np.roll(theirs, 200, 1))
    assert paired.mean == pytest.approx(other.mean) and paired.mean > 3
    assert other.high - other.low > 1.5 * (paired.high - paired.low)
    assert gain_interval(theirs, ours).low == pytest.approx(-paired.high)


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (5,)])
def test_nothing_has_no_interval(shape):
    with pytest.raises(ValueError, match="at least one of each"):
        accuracy_interval(np.zeros(shape, bool))
    with pytest.raises(ValueError, match="pair them"):
        gain_interval(np.zeros((2, 3), bool), np.zeros((2, 4), bool))


def test_parts_are_no_less_than_nothing():
    values = np.array([[1, 0, 1, 0], [0, 1, 0, 1]])  # seeds that are right for other images
    seed, image = variance_parts(mean_squares(values))
    assert seed == 0 and image >= 0


def test_a_seeds_accuracy_varies_as_it_is_told_to():
    found = coverage.deviation(0.8, 0.02, 1.0)
    draw = np.random.default_rng(0).standard_normal(200_000)
    true = stats.norm.ppf(0.8) * np.sqrt(2 + found**2) + found * draw
    assert stats.norm.cdf(true / np.sqrt(2)).std() == pytest.approx(0.02, rel=0.02)
    assert coverage.deviation(0.8, 0.0, 1.0) == 0


@pytest.mark.parametrize("setting", [(3, 100, 0.8, 0.02, 1.0), (5, 200, 0.95, 0.0, 2.0)])
def test_the_intervals_cover(setting):
    """Of 1,500 experiments; what was told before, over seeds alone, covers less."""
    found = coverage.covered(coverage.Setting(*setting), 1500, seed=0)
    assert all(93 < found[told, "this rule"] < 97.5 for told in ("accuracy", "gain"))
    assert found["accuracy", "over seeds"] < 93
