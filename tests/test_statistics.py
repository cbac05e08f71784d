"""Statistics over several networks: error distributions, the bootstrap, intervals over seeds."""

import math

import pytest
import torch

from engine.statistics import bootstrap, edf, over_seeds


def test_edf_is_a_distribution():
    errors, fractions = edf([30.0, 10.0, 20.0, 20.0])
    assert errors == [10, 20, 20, 30] and fractions == [0.25, 0.5, 0.75, 1.0]


def test_bootstrap_finds_the_good_region():
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(200, generator=generator) * 10
    errors = (values - 7).abs() + 0.1 * torch.rand(200, generator=generator)
    low, median, high = bootstrap(values.tolist(), errors.tolist(), generator)
    assert 6 < low <= median <= high < 8 and abs(median - 7) < 0.3
    # two draws of two with replacement miss the better one a quarter of the time
    assert bootstrap([0, 1], [1.0, 0.5], generator, fraction=1.0) == (0, 1, 1)


@pytest.mark.parametrize("errors", [[], [1.0, float("nan")]])
def test_edf_refuses_failed_trials(errors):
    with pytest.raises(ValueError, match="leave out failed trials"):
        edf(errors)


def test_bootstrap_wants_one_value_per_network():
    with pytest.raises(ValueError, match="one of each"):
        bootstrap([1, 2], [1.0], torch.Generator())


def test_interval_over_seeds_is_that_of_the_table():
    # Student's t, 2 degrees of freedom, 97.5 %: 4.303
    mean, low, high = over_seeds([1.0, 2.0, 3.0])
    assert mean == 2 and (high - mean, mean - low) == pytest.approx([4.302653 / math.sqrt(3)] * 2, rel=1e-6)


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("n", [2, 5, 40])
def test_interval_over_seeds_is_that_of_scipy(n, level):
    stats = pytest.importorskip("scipy.stats")
    values = torch.randn(n, generator=torch.Generator().manual_seed(n)).double().numpy()
    expected = stats.ttest_1samp(values, 0).confidence_interval(level)
    assert over_seeds(values.tolist(), level)[1:] == pytest.approx((expected.low, expected.high))


def test_one_seed_says_nothing_of_the_spread():
    assert over_seeds([81.5]) == (81.5, None, None)
