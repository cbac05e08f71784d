"""A params.yaml of the shape before tasks is answered with its numbers as they are written now."""

from pathlib import Path

import pytest
import yaml

from flows.cli import validate
from flows.running import oldparams, settings
from tests.support import params
from tests.support.params import PARAMS, REFERENCE

PRETRAINING, TASK = PARAMS["pretrain"]["winner-hashtags"], PARAMS["tasks"]["scenes"]
SHARED = ("objective", "head", "recipe", "resampling", "epochs", "seed")
TUNING = ("objective", "recipe", "grid", "seeds", "epochs", "held_out")
OLD = {
    "candidates": {"baseline": "resnext", "winner": "regnet"},
    "corpus": PARAMS["corpus"],
    "search": PARAMS["search"] | {"reference": REFERENCE},
    "pretrain": {key: PRETRAINING[key] for key in SHARED},
    "finetune": {key: TASK[key] for key in TUNING}
    | {
        "targets": ["scenes"],
        "labels_per_class": [20],
        "inits": ["pretrained", "scratch"],
        "modes": ["full", "linear", "knn"],
        "head": {"name": "linear"},
    },
    "evaluate": PARAMS["evaluate"] | {"targets": ["scenes"]},
    "register": PARAMS["register"],
}


def answered(old: dict) -> tuple[dict, dict]:
    """The params and the section of the reference that the message tells to write."""
    settings.PARAMS.write_text(yaml.safe_dump(old))
    with pytest.raises(ValueError, match="each training and each task now has a name") as told:
        settings.load_params()
    _, text = str(told.value).split("\n\n", 1)
    text, _, reference = text.partition(f"\nand in {oldparams.REFERENCE}\n")
    return yaml.safe_load(text), yaml.safe_load(reference)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_numbers_of_the_sample_are_what_is_committed_now():
    found, reference = answered(OLD)
    assert reference == REFERENCE
    expected = PARAMS | {"search": PARAMS["search"] | {"reference": oldparams.REFERENCE}}
    baseline = {"section": oldparams.REFERENCE}
    expected["candidates"] = PARAMS["candidates"] | {
        "baseline": PARAMS["candidates"]["baseline"] | baseline
    }
    expected["pretrain"] = PARAMS["pretrain"] | {
        "baseline-hashtags": PARAMS["pretrain"]["baseline-hashtags"] | baseline
    }
    del expected["materialise"]
    assert found == expected


def test_what_is_told_to_be_written_can_be_run():
    found, reference = answered(OLD)
    Path("candidates").mkdir()
    Path(oldparams.REFERENCE).write_text(yaml.safe_dump(reference))
    settings.PARAMS.write_text(yaml.safe_dump(found))
    assert validate.validate() == []


def test_sets_modes_and_values_of_its_own_are_translated():
    tuning = OLD["finetune"] | {"targets": ["scenes", "mine"], "modes": ["full", "knn"]}
    tuning |= {"inits": ["scratch"], "labels_per_class": [5, "all"], "head": {"name": "cosine"}}
    tuning["grid"] = {"k": [3], "pretrained": {"rate": [0.1]}, "scratch": {"rate": [1.0]}}
    old = OLD | {"finetune": tuning, "evaluate": {"targets": ["mine", "scenes"], "runs": 9}}
    found, _ = answered(old)
    # that which decided who is champion comes first
    assert list(found["tasks"]) == ["mine", "scenes"] and found["evaluate"] == {"runs": 9}
    task = found["tasks"]["mine"]
    assert task["data"] == "targets/mine" and task["labels"] == [5, "all"]
    assert task["heads"] == {"cosine": {}, "knn": {}} and task["inits"] == ["scratch"]
    assert task["grid"] == tuning["grid"]


@pytest.mark.parametrize(
    "old",
    [
        {"candidates": {"baseline": "resnext"}},
        {"finetune": 3, "candidates": ["resnext"], "search": None},
        OLD | {"finetune": {"targets": ["scenes"]}},
    ],
    ids=str,
)
def test_a_broken_one_of_the_old_shape_is_answered_too(old):
    found, _ = answered(old)
    assert set(found) <= set(PARAMS)


def test_the_present_shape_is_not_taken_for_the_old_one():
    params.committed()
    assert settings.load_params()["tasks"]
