"""Numbers of any metric: what they are called and written, which is better, their intervals."""

import numpy as np
import pytest

from engine.measure.intervals import accuracy_interval, gain_interval
from flows.measuring import intervals
from flows.measuring.headline import USUAL, Headline, of_record, of_tags

ERROR = Headline("pixel_error", higher=False, unit="px")


def test_accuracy_is_written_as_it_always_was():
    assert of_record({}) == of_tags({}) == USUAL
    assert (USUAL.unit_title, USUAL.axis, USUAL.noun) == ("top-1 %", "top-1 (%)", "accuracy")
    assert USUAL.written(60.25) == "60.2 %" and USUAL.difference(3.14) == "+3.1 points"
    assert USUAL.told(55, 53.06, 57) == "55.0 (53.1 to 57.0)"
    assert USUAL.interval(None, 3) == "no interval"


def test_another_number_has_its_own_words_and_direction():
    tags = {"headline": "pixel_error", "higher": "False", "unit": "px"}
    assert of_tags({f"tagdag.{key}": value for key, value in tags.items()}) == ERROR
    assert ERROR.written(12.3456) == "12.3 px" and ERROR.difference(-0.5) == "-0.5 px"
    assert ERROR.axis == "pixel error (px)" and Headline("loss", False, "").axis == "loss"
    assert ERROR.better(3, 4) and not ERROR.better(4, 4) and USUAL.better(4, 3)
    assert ERROR.best([5, 3, 4]) == 3 and ERROR.worse_end(2, 6) == 6 and USUAL.worse_end(2, 6) == 2


def test_shares_of_hits_have_the_intervals_of_accuracies():
    rng = np.random.default_rng(0)
    ours, theirs = rng.random((2, 3, 50)) < np.array([0.8, 0.6])[:, None, None]
    assert intervals.of_values(100.0 * ours, USUAL) == tuple(accuracy_interval(ours))
    found = intervals.gain_of_values(100.0 * ours, 100.0 * theirs, USUAL)
    assert found == tuple(gain_interval(ours, theirs))


def test_an_interval_over_seeds_and_samples_holds_the_truth_as_often_as_it_says():
    rng, inside = np.random.default_rng(1), 0
    for _ in range(300):
        seeds, samples = rng.normal(0, 2, (4, 1)), rng.normal(0, 8, (1, 100))
        mean, low, high = intervals.of_values(50 + seeds + samples, ERROR)
        assert low < mean < high
        inside += low <= 50 <= high
    assert 0.91 <= inside / 300 <= 0.99


def test_less_of_an_error_is_a_gain():
    ours, theirs = np.array([[1.0, 2.0, 3.0]] * 2), np.array([[2.0, 3.0, 5.0]] * 2)
    gain, low, high = intervals.gain_of_values(ours, theirs, ERROR)
    assert gain == pytest.approx(4 / 3) and low < gain < high
    assert intervals.gain_of_values(ours, theirs, Headline("speed", True, "px"))[0] < 0
    misses = Headline("error", False)
    found = intervals.gain_of_values(np.array([[0.0, 100, 0]]), np.array([[100.0] * 3]), misses)
    assert found[0] == pytest.approx(200 / 3)
    assert intervals.gain_of_seeds([1, 2, 3], [2, 3, 4], ERROR) == (1.0, 1.0, 1.0)


def test_gains_of_resampled_samples_are_those_of_pairs():
    one, other = np.array([[60.0, 62.0, 64.0]] * 2), np.array([[50.0, 52.0, 54.0]] * 2)
    found = intervals.gain_of_seeds([62, 62], [52, 52], Headline("map"), (one, other))
    assert found == (10.0, 10.0, 10.0)  # what both vary by says nothing of their difference
    wider = intervals.gain_of_seeds([62, 64], [52, 52], Headline("map"), (one, other))
    assert wider[0] == 11 and wider[2] - 11 == pytest.approx(12.706, abs=0.01)


def test_without_a_value_per_sample_three_seeds_or_its_own_interval_are_wanted():
    two = [{"map": 50.0}, {"map": 52.0}]
    assert intervals.of_seeds(two, Headline("map")) == (51.0, None, None)
    assert intervals.gain_of_seeds([1, 2], [0, 0], ERROR)[1:] == (None, None)
    mean, _, high = intervals.of_seeds([*two, {"map": 54.0}], Headline("map"))
    assert mean == 52 and high - mean == pytest.approx(4.303 * 2 / 3**0.5, abs=0.01)
    own = [{"map": 50.0, "map_low": 45.0, "map_high": 54.0}]
    assert intervals.of_seeds(own, Headline("map")) == (50.0, 45.0, 54.0)
    both = [each | {"map_low": each["map"] - 5, "map_high": each["map"] + 4} for each in two]
    assert intervals.of_seeds(both, Headline("map"))[1] < 51 - 12.7
