"""McNemar's exact test against its definition, and how often it finds what is not there."""

from math import comb

import numpy as np
import pytest

from engine.measure.paired import mcnemar


def answers(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    counts = [both, first, second, neither]
    sides = np.repeat([True, True, False, False], counts), np.repeat([True, False] * 2, counts)
    return sides[0], sides[1]


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (0, 6), (5, 5), (3, 14), (40, 21)])
def test_the_probability_is_the_sum_of_the_tails_of_the_binomial(first, second):
    number, less = first + second, min(first, second)
    tail = sum(comb(number, count) for count in range(less + 1)) / 2**number
    found = mcnemar(*answers(7, first, second, 2))
    assert found[:4] == (7, first, second, 2)
    assert found.p == pytest.approx(min(1.0, 2 * tail))


def test_of_equally_good_networks_it_calls_few_different():
    rng = np.random.default_rng(0)
    called = [mcnemar(*(rng.random((2, 300)) < 0.7)).p < 0.05 for _ in range(400)]
    assert np.mean(called) < 0.07


def test_other_images_are_refused():
    with pytest.raises(ValueError, match="not to the same images"):
        mcnemar(np.ones(3, bool), np.ones(4, bool))
