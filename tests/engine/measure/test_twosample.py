"""Do two samples of networks differ, do two measures agree: parity with scipy, golden values,
errors under the null.
"""

import numpy as np
import pytest
import torch
from scipy import stats

from engine.measure.twosample import holm, ks, mean_difference, normalised_ks, rank_correlations


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_ks_is_exact():
    # all of one sample below the other: 2 of the C(6, 3) = 20 orders are as extreme
    assert ks([1, 2, 3], [4, 5, 6]) == (1.0, pytest.approx(0.1), (3, 3))


@pytest.mark.parametrize("n, m, shift", [(8, 12, 0.0), (30, 25, 0.7), (40, 40, 0.3)])
def test_normalised_ks_of_one_complexity_is_the_ks_of_scipy(n, m, shift):
    rng = np.random.default_rng(n)
    left, right = rng.normal(size=n), rng.normal(shift, size=m)
    expected = stats.ks_2samp(left, right, method="exact")
    found = normalised_ks((left, right), (np.ones(n), np.ones(m)), generator())
    assert found.distance == pytest.approx(expected.statistic) and found.sizes == (n, m)
    assert found.p == pytest.approx(
        expected.pvalue, abs=0.015
    )  # three standard errors of 10,000 permutations


def spaces(rng: np.random.Generator, gain: float, n: int = 80) -> tuple:
    """Errors and flops of two spaces: the second holds larger networks, and better ones of the
    same flops by `gain`.
    """
    flops = 10 * rng.beta(1, 2, n), 10 * rng.beta(2, 1, n)
    errors = [50 - 3 * f + rng.normal(size=n) for f in flops]
    return (errors[0], errors[1] - gain), flops


def test_normalised_ks_sees_quality_rather_than_size():
    rng = np.random.default_rng(0)
    larger, better = spaces(rng, 0), spaces(rng, 2)
    assert ks(*larger[0]).p < 1e-4 and normalised_ks(*larger, generator()).p > 0.05
    assert normalised_ks(*better, generator()).p < 0.01


def test_normalised_ks_errs_as_often_as_it_says():
    rng = np.random.default_rng(1)
    p = [
        normalised_ks(rng.normal(size=(2, 40)), rng.random((2, 40)), generator(i), 200).p
        for i in range(400)
    ]
    assert 0.02 < np.mean(np.array(p) <= 0.05) < 0.08 and 0.45 < np.mean(p) < 0.55


def test_normalised_ks_leaves_out_what_is_not_comparable():
    found = normalised_ks(([1, 2, 3, 9], [1, 2, 3]), ([1, 1, 1, 100], [1, 1, 1]), generator())
    assert found == (pytest.approx(0), 1, (3, 3))
    assert normalised_ks(([1, 2], [3, 4]), ([1, 1], [9, 9]), generator()) is None


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.4]) == [0.4] and holm([0.9, 0.8]).tolist() == [1, 1]


def test_mean_difference_is_welchs():
    # means 2 and 6, variances 1 and 4 of 3 each: standard error sqrt(5/3), 2.941 degrees of freedom
    mean, low, high = mean_difference([1, 2, 3], [4, 6, 8])
    half = stats.t.ppf(0.975, (5 / 3) ** 2 / ((1 / 9 + 16 / 9) / 2)) * (5 / 3) ** 0.5
    assert (mean, low, high) == pytest.approx((4, 4 - half, 4 + half))
    assert mean_difference([1], [2, 3]) == (1.5, None, None)


def test_rank_correlations_golden():
    found = rank_correlations((3, 1, 4, 1, 5, 9, 2, 6), (2, 7, 1, 8, 2, 8, 1, 8), generator())
    assert found["spearman"][0] == pytest.approx(0.198854, abs=1e-6)
    assert found["kendall"][0] == pytest.approx(0.160514, abs=1e-6)
    assert all(-1 <= low < value < high <= 1 for value, low, high in found.values())


def test_bootstrap_of_rank_correlations_is_that_of_scipy():
    left, right = np.random.default_rng(3).integers(0, 9, (2, 25)).astype(float)
    drawn = torch.randint(25, (300, 25), generator=generator()).numpy()
    found = rank_correlations(left, right, generator(), 300)
    for name, statistic in (("spearman", stats.spearmanr), ("kendall", stats.kendalltau)):
        values = [statistic(left[i], right[i]).statistic for i in drawn]
        assert found[name][1:] == pytest.approx(tuple(np.quantile(values, (0.025, 0.975))))


@pytest.mark.parametrize("truth", [0.0, 0.6])
def test_interval_of_rank_correlation_covers(truth):
    rng, covered = np.random.default_rng(0), []
    for i in range(200):
        x, y = rng.multivariate_normal([0, 0], [[1, truth], [truth, 1]], 40).T
        _, low, high = rank_correlations(x, y, generator(i), 300)["kendall"]
        covered.append(low <= 2 / np.pi * np.arcsin(truth) <= high)
    assert np.mean(covered) > 0.88


def test_correlation_with_a_constant_is_undefined():
    assert np.isnan([*rank_correlations([1, 1, 1], [1, 2, 3], generator()).values()]).all()
    with pytest.raises(ValueError, match="two of each"):
        rank_correlations([1, 2], [1, 2, 3], generator())
