"""Hyper-parameters: which combinations there are, what is held out, and that the best score
wins.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from corpus.reading.sampler import seeded
from engine.core.samples import Rows, few_per_class, open_split
from engine.training.meter import Diverged
from engine.transfer.tuning import choose_settings, combinations, hold_out
from tests.support.shards import write_shards

HEADS = {"linear": {"name": "linear"}, "logistic": {"name": "logistic"}, "knn": {"name": "knn"}}


def test_combinations_are_those_of_the_head_and_the_init():
    grid = {
        "rate": [0.1, 0.4],
        "weight_decay": [0, 1e-4],
        "l2": [1],
        "scratch": {"rate": [1.6]},
        "temperature": [1, 2],
    }
    rates = [each["rate"] for each in combinations(grid, "hashtags", "linear", HEADS)]
    assert rates == [0.1, 0.1, 0.4, 0.4]
    assert combinations(grid, "scratch", "linear", HEADS) == [
        {"rate": 1.6, "weight_decay": d} for d in (0, 1e-4)
    ]
    assert combinations(grid, "scratch", "logistic", HEADS) == [{"l2": 1}]
    assert combinations(grid, "hashtags", "knn", HEADS) == [{"temperature": 1}, {"temperature": 2}]
    assert combinations({}, "hashtags", "linear", HEADS) == [{}]


def test_what_is_listed_for_a_head_or_a_pretraining_goes_before_what_all_share():
    grid = {
        "l2": [1, 2],
        "pretrained": {"l2": [3], "rate": [5]},
        "rotation": {"l2": [4]},
        "logistic": {"l2": [6]},
        "linear": {"rate": [7]},
    }
    assert combinations(grid, "scratch", "knn", HEADS) == [{}]
    assert combinations(grid, "hashtags", "linear", HEADS) == [{"rate": 5}]
    assert combinations(grid, "scratch", "linear", HEADS) == [{"rate": 7}]
    assert combinations(grid, "scratch", "logistic", HEADS) == [{"l2": 6}]
    assert combinations(grid, "hashtags", "logistic", HEADS) == [{"l2": 3}]
    assert combinations(grid, "rotation", "logistic", HEADS) == [{"l2": 4}]


@pytest.mark.parametrize(
    "grid", [{"rat": [1]}, {"rate": 0.1}, {"rate": []}, {"scratch": {"rat": [1]}}]
)
def test_a_grid_that_is_none_is_refused(grid):
    with pytest.raises(ValueError, match=r"finetune\.grid.*rat"):
        combinations(grid, "scratch", "logistic", HEADS)


def samples(folder: Path, *per_class: int) -> Rows:
    """Training images, so many of each class, in an order that mixes the classes."""
    path = folder / "image.jpg"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)
    labels = (
        np.random.default_rng(0)
        .permutation(np.repeat(np.arange(len(per_class)), per_class))
        .tolist()
    )
    records = [
        (str(number), "train", path.read_bytes(), [label]) for number, label in enumerate(labels)
    ]
    write_shards(folder / "set", records, [f"class {i}" for i in range(len(per_class))], size=8)
    whole = Rows(open_split(folder / "set", "train"), {"image": {}, "label": {}})
    return few_per_class(whole, "label", "all", torch.Generator())


def classes(rows: Rows) -> list[int]:
    """How many labels of each class."""
    return rows.column("label").bincount(minlength=len(rows.shards.names)).tolist()


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.25, [5, 1, 1, 1, 0]),
        (0.5, [10, 2, 2, 1, 0]),
        (0.9, [18, 4, 2, 1, 0]),
        (0.01, [1, 1, 1, 1, 0]),
    ],
)
def test_parts_are_apart_and_stratified(tmp_path, share, expected):
    whole = samples(tmp_path, 20, 5, 3, 2, 1)
    fit, held = hold_out(whole, "label", share, seeded(0))
    assert classes(held) == expected
    assert [a + b for a, b in zip(classes(fit), classes(held), strict=True)] == [20, 5, 3, 2, 1]
    assert sorted(fit.rows.tolist() + held.rows.tolist()) == list(range(31))
    again, other = (hold_out(whole, "label", share, seeded(seed))[1] for seed in (0, 1))
    assert torch.equal(held.rows, again.rows) and not torch.equal(held.rows, other.rows)


def test_the_best_score_wins_and_the_first_of_equals(tmp_path):
    parts, asked = hold_out(samples(tmp_path, 8, 8), "label", 0.25, seeded(0)), []

    def score(settings, fit, held):
        asked.append((len(fit), len(held)))
        return {0.1: 50.0, 0.4: 75.0, 1.6: 75.0}[settings["rate"]]

    grid = [{"rate": rate} for rate in (0.1, 0.4, 1.6)]
    choice = choose_settings(grid, parts, score)
    assert choice["chosen"] == {"rate": 0.4} and (choice["fit"], choice["held_out"]) == (12, 4)
    assert choice["scores"] == [
        {"rate": 0.1, "score": 50},
        {"rate": 0.4, "score": 75},
        {"rate": 1.6, "score": 75},
    ]
    assert asked == [(12, 4)] * 3


def test_the_lowest_score_wins_where_lower_is_better(tmp_path):
    parts = hold_out(samples(tmp_path, 8, 8), "label", 0.25, seeded(0))
    tops = {0.1: 50.0, 0.4: 25.0, 1.6: None, 3.2: 25.0}
    grid = [{"rate": rate} for rate in tops]
    choice = choose_settings(grid, parts, scored(tops), higher=False)
    assert choice["chosen"] == {"rate": 0.4}
    assert choose_settings(grid, parts, scored(tops))["chosen"] == {"rate": 0.1}


@pytest.mark.parametrize(
    ("settings", "per_class"), [([{"k": 5}], (8, 8)), ([{"k": 5}, {"k": 1}], (1, 1))]
)
def test_nothing_is_held_out_where_there_is_no_choice_or_no_label_to_spare(
    tmp_path, settings, per_class
):
    parts = hold_out(samples(tmp_path, *per_class), "label", 0.25, seeded(0))
    choice = choose_settings(settings, parts, lambda *_: pytest.fail("scored"))
    assert choice == {"chosen": {"k": 5}, "scores": [], "fit": sum(per_class), "held_out": 0}


def scored(tops: dict[float, float | None]):
    """A score by rate; None diverges."""

    def score(settings, fit, held):
        if tops[settings["rate"]] is None:
            raise Diverged(
                "the loss of step 3 is nan; `python -m engine.training.faults x` repeats it"
            )
        return tops[settings["rate"]]

    return score


@pytest.mark.parametrize(
    ("tops", "chosen"),
    [
        ({0.1: 40.0, 1e6: None}, 0.1),
        ({1e6: None, 0.1: 0.0}, 0.1),
        ({1e6: None, 2e6: None, 0.4: 3.0}, 0.4),
    ],
)
def test_a_value_that_diverges_counts_as_the_worst(tmp_path, tops, chosen, caplog):
    grid = [{"rate": rate} for rate in tops]
    parts = hold_out(samples(tmp_path, 8, 8), "label", 0.25, seeded(0))
    choice = choose_settings(grid, parts, scored(tops))
    assert choice["chosen"] == {"rate": chosen}
    assert "rate 1000000.0 counts as the worst: the loss of step 3 is nan" in caplog.text
    told = json.loads(json.dumps(choice["scores"], allow_nan=False))
    assert {"rate": 1e6, "score": None, "diverged": True} in told
    assert [score.get("diverged", False) for score in told] == [
        top is None for top in tops.values()
    ]


def test_when_all_values_diverge_the_grid_is_to_be_changed(tmp_path):
    grid = [{"rate": 1e6}, {"rate": 2e6}]
    parts = hold_out(samples(tmp_path, 8, 8), "label", 0.25, seeded(0))
    with pytest.raises(
        ValueError, match=r"finetune\.grid: .*each of its 2 combinations.*list lower rates"
    ):
        choose_settings(grid, parts, scored({1e6: None, 2e6: None}))
