"""GEBD's F1: against its rule written anew, and the authors' script."""

import numpy as np
import pytest
import torch

from metrics.blocks.bootstrap import resamples
from metrics.blocks.events import boundaries
from metrics.gebd_f1 import DISTANCES, GebdF1
from tests.metrics.events.references import gebd

CASES = 200


def case(seed: int) -> tuple[dict, dict]:
    """(truth, detections) as the official files have them: tied distances, raters without any,
    detections outside the video, videos without detections and of raters who disagree.
    """
    rng = np.random.default_rng(seed)
    true, given = {}, {}
    for video in map(str, range(rng.integers(1, 7))):
        times = [rng.integers(0, 41, rng.integers(0, 6)) / 4 for _ in range(rng.integers(1, 4))]
        true[video] = {
            "f1_consis_avg": float(rng.choice([0.2, 0.3, 0.6], p=[0.1, 0.1, 0.8])),
            "video_duration": float(rng.choice([10.0, 7.5])),
            "fps": 25.0,
            "substages_timestamps": [sorted(each.tolist()) for each in times],
        }
        if rng.random() < 0.85:
            # not in order: of equally near ones the first counts
            given[video] = (rng.integers(-2, 46, rng.integers(0, 8)) / 4).tolist()
    return true, given


def columns(true: dict, given: dict) -> tuple[dict, dict]:
    raters, found = [], []
    for video, known in true.items():
        rows = known["substages_timestamps"]
        filled = torch.full((len(rows), max(map(len, rows))), torch.nan, dtype=torch.float64)
        for row, times in enumerate(rows):
            filled[row, : len(times)] = torch.tensor(times, dtype=torch.float64)
        raters.append(filled)
        found.append(torch.tensor(given.get(video, []), dtype=torch.float64))
    numbers = {}
    for name, key in (("duration", "video_duration"), ("agreement", "f1_consis_avg")):
        values = [known[key] for known in true.values()]
        numbers[name] = torch.tensor(values, dtype=torch.float64)
    return {"boundaries": found}, {"rater_boundaries": raters, **numbers}


def measured(true: dict, given: dict, resamples: int = 0) -> GebdF1:
    metric = GebdF1(resamples)
    metric.update(*columns(true, given))
    return metric


def naive(true: dict, given: dict, distance: float) -> float:
    """F1 by loops, as eval.py has it."""
    whole = np.zeros(3)
    for video, known in true.items():
        length, raters = known["video_duration"], known["substages_timestamps"]
        if known["f1_consis_avg"] < 0.3:
            continue
        inside = [time for time in given.get(video, []) if 0 <= time <= length]
        if not inside:
            whole += 0, 0, len(raters[0])
            continue
        best, most = None, -1.0
        for rater in raters:
            left, hits = list(inside), 0
            for time in rater:
                gaps = [abs(time - each) for each in left]
                if gaps and min(gaps) <= distance * length:
                    hits += 1
                    del left[gaps.index(min(gaps))]
            recall, precision = hits / len(rater) if rater else 1, hits / len(inside)
            f1 = 2 * recall * precision / (recall + precision) if recall + precision else 0
            if f1 > most:
                best, most = (hits, len(inside), len(rater)), f1
        whole += best
    hits, found, todo = whole
    recall, precision = hits / todo if todo else 1, hits / found if found else 0
    return 2 * recall * precision / (recall + precision) if recall + precision else 0


def compared(rule) -> None:
    several = 0
    for seed in range(CASES):
        true, given = case(seed)
        if all(known["f1_consis_avg"] < 0.3 for known in true.values()):
            continue
        expected = [100 * rule(true, given, distance) for distance in DISTANCES]
        rows = measured(true, given).rows()
        assert [row["f1"] for row in rows] == pytest.approx(expected, abs=1e-9), seed
        several += len(set(expected)) > 2
    assert several > CASES / 2


def test_it_is_the_rule_as_it_is_written():
    compared(naive)


def test_it_is_the_authors_script():
    compared(gebd())


def test_greedy_is_not_the_most_that_could_be_matched():
    """The rater's first boundary takes the detection that only the second one is near to."""
    known = {"f1_consis_avg": 1.0, "video_duration": 10.0, "substages_timestamps": [[2.0, 2.4]]}
    # 2.0 takes 2.2 (nearer than 1.7), and to 2.4 the other one is .7 away; two pairs would be there
    found = measured({"a": known}, {"a": [1.7, 2.2]}).compute()
    assert found["gebd_f1"] == 50 and found["recall"] == 50


def test_perfect_nothing_and_those_who_disagree():
    true, _ = case(1)
    first = {video: known["substages_timestamps"][0] for video, known in true.items()}
    inside = {}
    for video, known in true.items():
        inside[video] = [time for time in first[video] if time <= 7.5]
        known |= {"substages_timestamps": [inside[video]], "f1_consis_avg": 1.0}
    perfect, nothing = measured(true, inside, 100).compute(), measured(true, {}, 100).compute()
    assert (perfect["gebd_f1"], perfect["gebd_f1_mean"], perfect["gebd_f1_low"]) == (100, 100, 100)
    assert (nothing["gebd_f1"], nothing["recall"], nothing["gebd_f1_high"]) == (0, 0, 0)
    one = next(iter(true))
    true[one]["f1_consis_avg"] = 0.29
    found = measured(true, inside).compute()
    assert (found["samples"], found["disagreed"]) == (len(true) - 1, 1)
    for known in true.values():
        known["f1_consis_avg"] = 0.1
    with pytest.raises(ValueError, match=r"raters of none of . videos agree by 0.3 or more"):
        measured(true, inside).compute()


def test_no_boundary_at_all_is_as_in_the_reference():
    known = {"f1_consis_avg": 1.0, "video_duration": 10.0, "substages_timestamps": [[], []]}
    found = measured({"a": known}, {}).compute()
    assert (found["gebd_f1"], found["recall"], found["precision"]) == (0, 100, 0)


def test_rows_of_any_length_are_compared_in_parts(monkeypatch):
    true, given = case(17)
    expected = measured(true, given).rows()
    monkeypatch.setattr(boundaries, "HELD", 25)
    assert measured(true, given).rows() == expected


def test_the_interval_is_that_of_videos_drawn_again():
    true, given = {}, {}
    for seed in range(6):
        more, found = case(seed)
        true |= {f"{seed} {video}": known for video, known in more.items()}
        given |= {f"{seed} {video}": times for video, times in found.items()}
    true = {video: known | {"f1_consis_avg": 0.5} for video, known in true.items()}
    videos, slow = list(true), []
    metric = measured(true, given, 100)
    for counts in np.concatenate(list(resamples(len(true), 100)), 1).T:
        drawn = [videos[row] for row in np.repeat(np.arange(len(videos)), counts.astype(int))]
        again = {n: true[video] for n, video in enumerate(drawn)}
        found = {n: given.get(video, []) for n, video in enumerate(drawn)}
        slow.append(measured(again, found).compute()["gebd_f1"])
    values = np.array(slow) - np.mean(slow) + metric.compute()["gebd_f1"]
    assert metric.resampled().numpy() == pytest.approx(values, abs=1e-3)


def test_what_is_wrong_is_told():
    given, true = columns(*case(2))
    broken = [torch.full((2,), torch.nan)] * len(given["boundaries"])
    zero = torch.zeros(len(true["duration"]))
    for columns_given, columns_true, message in (
        ({"boundaries": broken}, true, "samples have a boundary that is no number"),
        (given, true | {"duration": zero}, "samples have no duration above 0"),
        (given, true | {"rater_boundaries": [zero] * len(zero)}, r"give \(raters, most\)"),
        (given, true | {"duration": zero[None]}, r"duration of the targets of shape"),
    ):
        with pytest.raises(ValueError, match=message):
            metric = GebdF1()
            metric.update(columns_given, columns_true)
            metric.compute()
