"""Statistics over several networks: error distributions, the bootstrap, best of k, the front,
intervals over seeds.
"""

import math
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import stats

from engine.measure.enough import LEAST, enough
from engine.measure.statistics import (
    best_of,
    complexity_bins,
    complexity_weights,
    edf,
    good_ranges,
    over_seeds,
    pareto_front,
    spread,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_edf_is_equation_1():
    errors = np.random.default_rng(0).integers(20, 40, 30).astype(float)
    risen, shares = edf(errors)
    for e in np.arange(19.5, 41):  # F is flat between errors
        assert max(shares[risen < e], default=0) == pytest.approx(sum(errors < e) / 30)
    assert list(risen) == sorted(errors) and (np.diff(shares) > 0).all() and shares[-1] == 1


def test_normalised_edf_gives_every_bin_the_same_share():
    bins = complexity_bins([0, 1, 10, 91, 100])  # the greatest is of the last bin, not of one more
    assert bins.tolist() == [0, 0, 1, 9, 9]  # bins without network count for nothing
    weights = complexity_weights(bins)
    assert weights == pytest.approx([1 / 6, 1 / 6, 1 / 3, 1 / 6, 1 / 6])
    assert edf([5, 4, 3, 2, 1], weights)[1] == pytest.approx([1 / 6, 1 / 3, 2 / 3, 5 / 6, 1])


@pytest.mark.parametrize("complexity", [[7.0] * 4, [0, 1, 2, 3]])
def test_normalised_edf_of_equal_or_spread_complexity_is_the_plain_one(complexity):
    weights = complexity_weights(complexity_bins(complexity))
    assert edf([3, 1, 4, 1], weights)[1] == pytest.approx(edf([3, 1, 4, 1])[1])


@pytest.mark.parametrize("seed", range(5))
def test_normalised_edf_is_a_distribution(seed):
    rng = np.random.default_rng(seed)
    weights = complexity_weights(complexity_bins(rng.lognormal(size=50)))
    shares = edf(rng.random(50), weights)[1]
    assert weights.sum() == pytest.approx(1) and (np.diff(shares) > 0).all() and shares[-1] == 1


def test_bootstrap_finds_the_good_region_of_the_axis_that_matters():
    rng = np.random.default_rng(0)
    depth, width = rng.random((2, 200)) * 10
    errors = abs(depth - 7) + 0.1 * rng.random(200)
    found = good_ranges({"depth": depth, "width": width}, errors, generator())
    low, median, high = found["depth"]
    assert 6 < low <= median <= high < 8 and abs(median - 7) < 0.3
    assert found["width"][2] - found["width"][0] > 5
    # two draws of two with replacement miss the better one a quarter of the time
    assert good_ranges({"x": [0, 1]}, [1.0, 0.5], generator(), fraction=1.0) == {"x": (0, 1, 1)}


@pytest.mark.parametrize("errors", [[], [1.0, float("nan")], [1.0, float("inf")]])
@pytest.mark.parametrize(
    "statistic", [edf, lambda e: good_ranges({}, e, generator()), lambda e: best_of(e, [1], None)]
)
def test_statistics_refuse_failed_trials(errors, statistic):
    with pytest.raises(ValueError, match="leave out failed trials"):
        statistic(errors)


def test_bootstrap_wants_one_value_per_network():
    with pytest.raises(ValueError, match="one of each"):
        good_ranges({"depth": [1, 2]}, [1.0], generator())


def test_best_of_k_is_the_mean_over_all_draws():
    errors = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0]
    expected, low, high = best_of(errors, range(1, 7), generator())
    for k in range(1, 7):
        least = [min(some) for some in combinations(errors, k)]
        assert expected[k - 1] == pytest.approx(np.mean(least))
    assert (low <= expected + 1e-9).all() and (expected <= high + 1e-9).all()
    with pytest.raises(ValueError, match="there are 6"):
        best_of(errors, [7], generator())


def test_best_of_k_holds_for_many_networks_and_its_interval_covers():
    truth = 1 / 6  # expected minimum of 5 uniform numbers
    rng = np.random.default_rng(0)
    intervals = [best_of(rng.random(100), [5], generator(i), 200)[1:] for i in range(200)]
    assert 0.88 < np.mean([low[0] <= truth <= high[0] for low, high in intervals]) < 0.99
    assert best_of(np.arange(5000.0), [5000], generator(), 1)[0] == 0


def test_pareto_front_by_hand():
    points = [(1, 5), (2, 2), (2, 2), (3, 2), (5, 1), (2, 3), (1, 6)]
    assert pareto_front(points).tolist() == [True, True, True, False, True, False, False]
    with pytest.raises(ValueError, match="failed trials"):
        pareto_front([(1, float("nan"))])


@pytest.mark.parametrize("seed", range(20))
def test_pareto_front_is_that_of_brute_force(seed):
    rng = np.random.default_rng(seed)
    points = rng.integers(0, 6, (40, rng.integers(1, 4))).tolist()

    def beaten(q: list[int]) -> bool:
        return any(p != q and (np.array(p) <= q).all() for p in points)

    assert pareto_front(points).tolist() == [not beaten(point) for point in points]


def test_interval_over_seeds_is_that_of_the_table():
    # Student's t, 2 degrees of freedom, 97.5 %: 4.303
    mean, low, high = over_seeds([1.0, 2.0, 3.0])
    assert mean == 2 and (high - mean, mean - low) == pytest.approx(
        [4.302653 / math.sqrt(3)] * 2, rel=1e-6
    )


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("n", [2, 5, 40])
def test_interval_over_seeds_is_that_of_scipy(n, level):
    values = torch.randn(n, generator=generator(n)).double().numpy()
    expected = stats.ttest_1samp(values, 0).confidence_interval(level)
    assert over_seeds(values.tolist(), level)[1:] == pytest.approx((expected.low, expected.high))


def test_three_networks_are_too_few_to_tell():
    assert not enough(3) and not enough(LEAST - 1) and enough(LEAST)


def test_one_seed_says_nothing_of_the_spread():
    assert over_seeds([81.5]) == (81.5, None, None) and spread([81.5]) == (81.5, None)
    assert spread([1.0, 3.0]) == (2, pytest.approx(2**0.5))
