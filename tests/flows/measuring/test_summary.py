"""What is told of a model out of its seeds: intervals, gains, what was predicted, shared costs."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from flows import evaluate
from flows.measuring import predictions
from flows.measuring.predictions import Examined, Predicted
from flows.measuring.summary import gains, model_record, over_reference
from flows.measuring.verdict import reference_ahead
from tests.support.records import seed


def images_of(count: int, duplicate: int = 0) -> Examined:
    """So many test images of two classes, the first of them duplicates."""
    flags = np.arange(count) < duplicate
    ids = [f"test-{n}" for n in range(count)]
    return Examined(ids, np.zeros(count, np.int16), flags, ["sea", "dog"])


def guessed(count: int, right: int, first: int = 0) -> Predicted:
    """What a network that is right for `right` images from the `first` on has predicted."""
    guess = np.ones(count, np.int16)
    guess[first : first + right] = 0
    value = 100.0 * (guess == 0)
    return Predicted(value, guess, np.full(count, 0.5, np.float32), {"top1": value.mean()})


def test_a_model_has_the_bound_of_its_weights_and_the_mean_of_its_seeds():
    seeds = [seed(0, val=70), seed(1, val=65, best=80, best_bound=40)]
    images, predicted = images_of(40, duplicate=4), [guessed(40, 24), guessed(40, 32)]
    record = model_record(seeds, images, predicted, {"duplicates": 4})
    assert (record["best"], record["best_bound"], record["seed"]) == (60, 50, 0)
    assert record["value"] == pytest.approx(70)
    assert record["by_seed"] == pytest.approx([60, 80])
    assert record["bound"] == pytest.approx(60)
    assert record["low"] < 60 < 80 < record["high"]
    assert record["model"] == "winner-scenes-winner-hashtags-linear-20-32px"
    assert (record["headline"], record["higher"], record["unit"]) == ("top1", True, "%")


def test_gains_are_of_equal_tasks_and_sizes_and_paired_by_image():
    rows = [("scenes", 32, 24, 28), ("scenes", 40, 28, 32), ("birds", 32, 4, 12)]

    def model(init: str, task: str, size: int, *right: int, first: int = 0) -> tuple:
        seeds = [seed(i, 0, init=init, task=task, size=size) for i in range(len(right))]
        images, predicted = images_of(40), [guessed(40, each, first) for each in right]
        return model_record(seeds, images, predicted, {"network": "n"}), images, predicted

    models = [model("winner-hashtags", *row) for row in rows]
    scratch = [model("scratch", "scenes", 32, 18, 22), model("scratch", "birds", 32, 0, 8)]
    found = {(gain["task"], gain["size"]): gain for gain in gains(models + scratch)}
    assert {key: gain["gain"] for key, gain in found.items()} == {
        ("scenes", 32): pytest.approx(15),
        ("birds", 32): pytest.approx(10),
    }
    gain = found["scenes", 32]
    assert gain["gain_low"] < 15 < gain["gain_high"] and gain["samples"] == 40
    # right for other images: less is sure
    other = [model("scratch", "scenes", 32, 18, 22, first=18)]
    [wider] = gains([models[0], *other])
    assert wider["gain"] == pytest.approx(15)
    assert wider["gain_high"] - wider["gain_low"] > 1.5 * (gain["gain_high"] - gain["gain_low"])


def test_a_model_says_of_how_many_pretrainings_it_is():
    def record(*files: str, init: str = "winner-hashtags") -> dict:
        own = [{"pretraining": file} if file else {} for file in files]
        seeds = [seed(i, i, init=init) | more for i, more in enumerate(own)]
        return model_record(seeds, images_of(40), [guessed(40, 20)] * len(files), {})

    assert record("", "")["pretrainings"] == 1 and "pretraining" not in record("", "")
    assert record("", "", init="scratch")["pretrainings"] == 0
    found = record("a", "b", "a", "b")
    assert (found["pretrainings"], found["pretraining"], found["seed"]) == (2, "b", 3)


VERDICTS = [(20, "beats"), (29, "is ahead of, within"), (31, None)]


@pytest.mark.parametrize(("winner", "verdict"), VERDICTS)
def test_a_winner_that_loses_to_the_reference_is_told(winner, verdict):
    def model(candidate: str, right: int) -> tuple:
        init = f"{candidate}-hashtags"
        seeds = [seed(i, right, candidate=candidate, init=init) for i in range(3)]
        images, predicted = images_of(40), [guessed(40, right + i) for i in range(3)]
        return model_record(seeds, images, predicted, {"network": "n"}), images, predicted

    models = [model("baseline", 30), model("winner", winner), model("third", 30)]
    over_reference(models, "baseline")
    records_ = [record for record, _, _ in models]
    assert "over_reference" not in records_[0] and records_[2]["over_reference"] == 0
    assert records_[1]["over_reference"] == pytest.approx((winner - 30) / 0.4)
    assert records_[1]["over_reference_low"] < records_[1]["over_reference"]
    told = reference_ahead(records_)
    assert told is None if verdict is None else f"the reference {verdict}" in told
    assert reference_ahead(records_[:1]) is None


def test_what_was_predicted_is_written_a_row_group_per_model(tmp_path):
    images, seeds = images_of(3, duplicate=1), [guessed(3, 1), guessed(3, 3)]
    of = {"task": "scenes", "seeds": [4, 5]}
    rows = [(of | {"model": name}, images, seeds) for name in ("a", "b")]
    predictions.write(tmp_path, rows)
    file = pq.ParquetFile(tmp_path / predictions.FILE)
    assert json.loads(file.schema_arrow.metadata[b"classes"]) == {"scenes": ["sea", "dog"]}
    assert file.num_row_groups == 2
    first = file.read_row_group(0).to_pylist()
    assert [(row["seed"], row["id"], row["guess"]) for row in first] == [
        *((4, "test-0", 0), (4, "test-1", 1), (4, "test-2", 1)),
        *((5, "test-0", 0), (5, "test-1", 0), (5, "test-2", 0)),
    ]
    about = {"model": "a", "seed": 4, "id": "test-0", "value": 100.0}
    about |= {"label": 0, "guess": 0, "score": 0.5, "duplicate": True}
    assert first[0] == about
    pairs = [("sea", "sea"), ("sea", "dog"), ("sea", "dog")]
    assert predictions.confusion(images, seeds[0]) == pairs


def test_costs_are_those_of_a_network_whatever_its_weights(monkeypatch):
    knn = {"head": {"name": "knn", "samples": 40, "k": 5}}
    one = [
        (seed(0, 1), guessed(4, 1)),
        (seed(0, 1, init="scratch"), guessed(4, 1)),
        (seed(0, 1, head={"name": "logistic", "l2": 0.1}), guessed(4, 1)),
        (seed(0, 1, **knn), guessed(4, 1)),
        (seed(0, 1, init="scratch", head=knn["head"] | {"k": 10}), guessed(4, 1)),
        (seed(0, 1, size=40), guessed(4, 1)),
    ]
    about = {"test": "t", "duplicates": 0, "train": {"sea": 30, "dog": 12}}
    about["policy"] = {"name": "plain"}
    groups = evaluate.group_models(one, images_of(4), about)
    monkeypatch.setattr(evaluate, "measure_cost", lambda weights, size, policy: {"size": size})
    assert list(evaluate.costs_by_network(groups, {}, lambda *_: None)) == [
        "winner, head linear, 2 classes, 40 px",
        "winner, head knn samples 40, 2 classes, 32 px",
        "winner, head linear, 2 classes, 32 px",
    ]
    assert groups[0].about["labels_seen"] == {"sea": 20, "dog": 12}
