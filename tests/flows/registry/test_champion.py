"""Who becomes champion when the test split changes, and beside versions that other tools have
made.
"""

import shutil
from pathlib import Path

import mlflow
import pytest

from engine.core.network import load_network
from engine.core.samples import Rows, open_split
from engine.training.predicting import scored
from flows.registry import older
from flows.running import settings
from flows.tracking import tracking
from metrics.accuracy import Accuracy
from tests.support.records import images, record, registered, trained

FOLDER = settings.OUT / "corpus/targets/scenes"


def measured(made: dict) -> dict[str, float]:
    """The true accuracy of a record's weights on the test split that there is now."""
    module, _ = load_network(Path(made["weights"]))
    rows = Rows(open_split(FOLDER, "test"), module.reads, size=made["size"])
    return scored(module, rows, Accuracy()).compute()


def number(version: str, key: str) -> float:
    return float(tracking.connect().get_model_version("models", version).tags[f"tagdag.{key}"])


def leader() -> str:
    return str(tracking.connect().get_registered_model("models").aliases["champion"])


@pytest.fixture
def first(place):
    """A champion tested on forty images, with another accuracy in its record than it has on
    others.
    """
    test = images(40)
    made = trained("a", seed=0, test=test)
    true = measured(made)
    made |= {"best": true["top1"], "low": true["top1_low"], "high": true["top1_high"]}
    made["value"] = true["top1"]
    registered(made)
    return made


def test_a_worse_model_does_not_win_by_another_test_split(first):
    test = images(39, seed=1)
    true = measured(first)
    worse = record("b", value=true["top1"] - 5, val=99, low=true["top1"] - 10, test=test)
    assert "stays version 1, challenger is version 2: low end" in registered(worse)
    assert leader() == "1"
    client = tracking.connect()
    version = client.get_model_version("models", "1")
    assert version.tags["tagdag.test"] == test
    assert number("1", "value") == pytest.approx(true["top1"], rel=1e-5)
    assert number("1", "low") == pytest.approx(true["top1_low"], rel=1e-5)
    before = float(version.tags[f"tagdag.value.{first['test']}"])
    assert before == pytest.approx(first["value"], rel=1e-5)
    metrics = client.get_run(version.run_id).data.metrics
    assert metrics["top1"] == metrics["top1_mean"] == true["top1"]  # of the weights that there are
    assert metrics["top1_mean_lower_bound"] != metrics["top1_mean_lower_bound"]  # not known
    assert version.tags["tagdag.seeds"] == "1"
    assert metrics["top1_high"] == pytest.approx(true["top1_high"])


def test_a_better_model_wins_on_the_new_split(first):
    test = images(39, seed=1)
    top1 = measured(first)["top1"]
    better = record("b", value=top1 + 5, val=99, low=top1 + 1, test=test)
    assert "is now version 2: low end" in registered(better)
    assert leader() == "2"


def test_without_a_server_a_new_champion_waits_for_the_command_of_a_person(first, monkeypatch):
    monkeypatch.setenv("TAGDAG_APPROVAL", "1")
    better = record("b", value=99, val=99, low=98, test=first["test"])
    told = registered(better)
    assert "stays version 1" in told and "python -m flows.promote 2 --reason" in told
    assert leader() == "1"
    monkeypatch.delenv("TAGDAG_APPROVAL")
    assert "Champion is now version 2" in registered(better)


def test_the_champion_is_tested_at_its_own_size(first):
    test = images(39, seed=1)
    # whatever leads, has no network
    registered(record("b", value=99, val=99, low=98, test=first["test"]))
    made = trained("c", seed=1, size=48, test="older")
    best = {"best": 99.9, "value": 99.9, "low": 99.8, "high": 100}
    registered(made | best | {"val": 100})
    assert leader() == "2" and number("2", "value") == 99  # cannot be rebuilt: stays
    tracking.connect().set_registered_model_alias("models", "champion", "3")
    registered(record("d", value=1, val=99, low=0, test=test))
    assert number("3", "value") == pytest.approx(measured(made)["top1"], rel=1e-5)


def gone(place) -> str:
    for folder in place.glob("mlruns/**/models"):
        shutil.rmtree(folder)
    return "its logged model holds no weights with their record"


def deleted(place) -> str:
    client = tracking.connect()
    client.delete_logged_model(client.get_model_version("models", "1").tags["tagdag.model_id"])
    return "its weights cannot be had from the registry"


def exchanged(place) -> str:
    [file] = [f for f in place.glob("mlruns/**/*.safetensors") if "models" in f.parts]
    file.write_bytes(b"other")
    return "its weights in the registry are not those that it was registered with"


def other_classes(place) -> str:
    images(39, names=["sea", "cat"])
    return "the classes of scenes are others than those it was trained on"


def no_images(place) -> str:
    shutil.rmtree(FOLDER)
    return "there is no labelled set 'scenes' now"


@pytest.mark.parametrize("fault", [gone, deleted, exchanged, other_classes, no_images])
def test_a_champion_that_cannot_be_tested_stays(first, place, fault):
    images(39, seed=1)
    cause = fault(place)
    decision = registered(record("b", value=99, val=99, low=98, test="other"))
    assert "stays version 1, challenger is version 2: the champion cannot be tested" in decision
    assert cause in decision and "to replace it, set the alias champion to version 2" in decision
    assert leader() == "1" and number("1", "value") == pytest.approx(first["value"], rel=1e-5)


def test_a_champion_of_another_target_stays(first):
    other = record("b", value=99, val=99, low=98, test="other", task="birds", data="targets/birds")
    assert "it is a model of 'scenes', the challenger of 'birds'" in registered(other)
    assert leader() == "1"


def test_the_mean_over_seeds_is_compared_not_the_weights_that_happen_to_be_registered(first):
    ours = first["value"]
    lucky = record("b", value=ours + 1, val=99, low=ours - 1, test=first["test"]) | {"best": 99.0}
    assert "is not above the champion's" in registered(lucky)
    assert leader() == "1"


HALF = {"tagdag.test": "t", "tagdag.top1": "none", "tagdag.model_id": "m-0"}


@pytest.mark.parametrize(
    "tags", [{}, {"owner": "me"}, HALF, {"tagdag.model": "a", "tagdag.top1": "nan"}]
)
def test_a_champion_of_another_tool_stays(place, tags):
    client = tracking.connect()
    client.create_registered_model("models", tags={"team": "vision"})
    run = client.create_run(client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id)
    version = client.create_model_version(
        "models", "s3://elsewhere/model", run.info.run_id, tags=tags
    )
    client.set_registered_model_alias("models", "champion", version.version)
    decision = registered(record("a", 60, 60, 50))
    assert "stays version 1, challenger is version 2: the champion cannot be tested" in decision
    assert "to replace it, set the alias champion to version 2" in decision
    assert client.get_registered_model("models").aliases == {"champion": 1, "challenger": 2}
    assert client.get_model_version("models", "1").tags == tags


def test_a_deleted_champion_gives_way(first):
    client = tracking.connect()
    client.delete_model_version("models", "1")
    assert "there was no champion" in registered(record("b", 10, 10, 5))


def test_a_champion_whose_run_was_deleted_is_tested_all_the_same(first):
    client = tracking.connect()
    client.delete_run(client.get_model_version("models", "1").run_id)
    test = images(39, seed=1)
    assert "low end 1.0 %" in registered(record("b", value=2, val=99, low=1, test=test))
    assert number("1", "value") == pytest.approx(measured(first)["top1"], rel=1e-5)


def test_a_server_that_is_away_makes_no_champion(first, monkeypatch):
    away = mlflow.MlflowException("no answer")  # an internal error, as when the server is away
    monkeypatch.setenv("TAGDAG_MLFLOW_PATIENCE", "0")
    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", lambda *_, **__: raised(away))
    with pytest.raises(mlflow.MlflowException, match="no answer"):
        registered(record("b", value=99, val=99, low=98, test="other"))
    assert leader() == "1"


def raised(error: Exception) -> None:
    raise error


def test_numbers_of_tags():
    labels = {"tagdag.a": "1.5", "tagdag.b": "nan", "tagdag.c": "", "tagdag.d": "text"}
    assert [older.tag_number(labels, key) for key in "abcde"] == [1.5, None, None, None, None]
