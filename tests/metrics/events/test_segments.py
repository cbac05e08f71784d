"""Temporal mAP: against ActivityNet's rule written anew, and its own script."""

import numpy as np
import pytest
import torch

from metrics.blocks.bootstrap import resamples
from metrics.temporal_map import TemporalMAP
from tests.metrics.batches import part
from tests.metrics.events.references import activitynet

CASES, CLASSES = 200, 3


def case(seed: int):
    """(predictions, targets) of a few videos: segments that touch, equal ones, equal scores."""
    rng = np.random.default_rng(seed)
    given = {"segments": [], "segment_label": [], "segment_score": []}
    true = {"segments": [], "segment_label": []}
    for _ in range(rng.integers(1, 5)):
        for columns, many in ((true, rng.integers(0, 6)), (given, rng.integers(0, 9))):
            start = rng.integers(0, 10, (many, 1))
            ends = start + rng.integers(1, 12, (many, 1))
            columns["segments"].append(torch.tensor(np.concatenate([start, ends], 1).astype(float)))
            columns["segment_label"].append(torch.tensor(rng.integers(0, CLASSES, many)))
        scores = rng.random(many)
        given["segment_score"].append(torch.tensor(scores.round(1) if seed % 2 else scores))
    return given, true


def flat(columns: dict, label: int) -> list[tuple]:
    """(video's name, start, end, score or 1) of the segments of a class."""
    rows = []
    for video, segments in enumerate(columns["segments"]):
        scores = columns.get("segment_score", [torch.ones(len(segments))] * (video + 1))[video]
        for n in range(len(segments)):
            if columns["segment_label"][video][n] == label:
                rows.append((f"v{video}", *segments[n].tolist(), float(scores[n])))
    return rows


def naive(given: dict, true: dict, thresholds: np.ndarray) -> np.ndarray:
    """Average precisions (classes that are true of anything, thresholds), by loops."""
    found = []
    for label in range(CLASSES):
        segments, truths = flat(given, label), flat(true, label)
        order = np.array([row[3] for row in segments]).argsort()[::-1]
        ranked = [segments[n] for n in order]
        if truths:
            found.append([one_overlap(ranked, truths, each) for each in thresholds])
    return np.array(found)


def one_overlap(segments: list, truths: list, threshold: float) -> float:
    taken, hits = set(), []
    for video, start, end, _ in segments:
        near = [n for n, row in enumerate(truths) if row[0] == video]
        both = [max(0.0, min(end, truths[n][2]) - max(start, truths[n][1])) for n in near]
        whole = [truths[n][2] - truths[n][1] + (end - start) for n in near]
        shares = np.array([a / (b - a) for a, b in zip(both, whole, strict=True)])
        free = [
            near[n]
            for n in shares.argsort()[::-1]
            if shares[n] >= threshold and near[n] not in taken
        ]
        hits.append(bool(free))
        taken.update(free[:1])
    precisions = [sum(hits[: n + 1]) / (n + 1) for n in range(len(hits))]
    tops = [max(precisions[n:]) for n in range(len(hits)) if hits[n]]
    return sum(tops) / len(truths)


def measured(given: dict, true: dict, **options) -> TemporalMAP:
    metric = TemporalMAP(**options)
    metric.update(given, true)
    return metric


@pytest.mark.parametrize("lowest, highest, overlaps", [(0.5, 0.95, 10), (0.3, 0.7, 5)])
def test_it_is_the_rule_as_it_is_written(lowest, highest, overlaps):
    thresholds = np.linspace(lowest, highest, overlaps)
    for seed in range(CASES if overlaps == 10 else 40):
        given, true = case(seed)
        expected = naive(given, true, thresholds)
        if len(expected):
            metric = measured(
                given, true, lowest=lowest, highest=highest, overlaps=overlaps, resamples=0
            )
            rows = [row["ap"] for row in metric.rows()]
            assert rows == pytest.approx(100 * expected.mean(1), abs=1e-9), seed
            found = metric.compute()
            assert found["temporal_map"] == pytest.approx(100 * expected.mean(), abs=1e-9)
            if lowest == 0.5:
                assert found["ap75"] == pytest.approx(100 * expected[:, 5].mean(), abs=1e-9)


def test_it_is_the_authors_script():
    script = activitynet()
    pandas = pytest.importorskip("pandas")
    for seed in range(CASES // 5):
        given, true = case(seed)
        expected = []
        for label in range(CLASSES):
            names = ["video-id", "t-start", "t-end", "score"]
            truths = pandas.DataFrame(flat(true, label), columns=names)
            if len(truths):
                expected.append(script(truths, pandas.DataFrame(flat(given, label), columns=names)))
        if expected:
            rows = measured(given, true, resamples=0).rows()
            assert [row["ap"] for row in rows] == pytest.approx(
                100 * np.mean(expected, 1), abs=1e-9
            )


def test_a_free_segment_is_taken_where_the_best_is_not():
    true = {"segments": [torch.tensor([[0.0, 10], [0, 8]])], "segment_label": [torch.zeros(2)]}
    given = {
        "segments": [torch.tensor([[0.0, 10], [0, 9.5]])],
        "segment_label": [torch.zeros(2)],
        "segment_score": [torch.tensor([0.9, 0.8])],
    }
    found = measured(given, true, resamples=0).compute()
    # the second overlaps the taken one by .95, the free one by 8 / 9.5 = .842: a hit up to .8
    assert found["ap50"] == found["ap75"] == 100
    assert found["ap95"] == 50 and found["temporal_map"] == pytest.approx(100 * (7 + 3 * 0.5) / 10)


def test_perfect_nothing_and_segments_of_no_length():
    _, true = case(4)
    scores = [torch.ones(len(row)) for row in true["segments"]]
    assert measured(true | {"segment_score": scores}, true).compute()["temporal_map"] == 100
    nothing = {
        "segments": [torch.zeros(0, 2)] * len(scores),
        "segment_label": [torch.zeros(0)] * len(scores),
        "segment_score": [torch.zeros(0)] * len(scores),
    }
    assert measured(nothing, true).compute()["temporal_map"] == 0
    with pytest.raises(ValueError, match="has anything to be found"):
        measured(true | {"segment_score": scores}, nothing).compute()
    point = {"segments": [torch.tensor([[2.0, 2]])], "segment_label": [torch.zeros(1)]}
    apart = {**point, "segments": [torch.tensor([[5.0, 5]])], "segment_score": [torch.ones(1)]}
    assert measured(apart, point).compute()["temporal_map"] == 0


def test_the_interval_is_that_of_videos_drawn_again():
    given, true = case(20)
    for seed in range(22, 34, 2):
        more, others = case(seed)
        given = {name: [*column, *more[name]] for name, column in given.items()}
        true = {name: [*column, *others[name]] for name, column in true.items()}
    metric = measured(given, true, resamples=100)
    slow = []
    for counts in np.concatenate(list(resamples(len(true["segments"]), 100)), 1).T:
        rows = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts).long())
        again = measured(part(given, rows), part(true, rows), resamples=0)
        slow.append(again.compute()["temporal_map"])
    values = np.array(slow) - np.mean(slow) + metric.compute()["temporal_map"]
    assert metric.resampled().numpy() == pytest.approx(values, abs=1e-3)


def test_what_is_wrong_is_told():
    given, true = case(6)
    turned = [row.flip(1) for row in given["segments"]]
    with pytest.raises(ValueError, match="predicted segment that ends before it starts"):
        measured(given | {"segments": turned}, true).compute()
    nan = [row * torch.nan for row in given["segment_score"]]
    with pytest.raises(ValueError, match=r"samples have a score that is NaN \(rows "):
        measured(given | {"segment_score": nan}, true).compute()
    for options in ({"lowest": 0.9, "highest": 0.5}, {"lowest": 0.0}, {"overlaps": 61}):
        with pytest.raises(ValueError, match="give a lowest above 0"):
            TemporalMAP(**options)
