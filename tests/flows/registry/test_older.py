"""A registry of versions that were made when every number was a top-1 accuracy: none is lost."""

import json
from pathlib import Path

import pytest

from engine.core.digest import digest
from flows.registry import older, registry
from flows.registry.aliases import CHAMPION
from flows.reports.versions.files import text
from flows.reports.versions.reading import read
from flows.tracking import tracking
from tests.support.records import images, record, registered, trained

ARM = {"candidate": "a", "target": "scenes", "init": "pretrained", "mode": "full", "labels": 20}
NUMBERS = {"top1": 61.0, "top1_mean": 60.0, "top1_low": 55.0, "top1_high": 65.0, "top5": 99.0}


def old_record(weights: str, test: str) -> dict:
    """As the stage evaluate wrote it then."""
    more = {"top1_lower_bound": 61.0, "top1_mean_lower_bound": 60.0, "val_top1": 62.0}
    more |= {"top1_seeds": [59.0, 61.0], "seeds": [0, 1], "seed": 1, "size": 32, "test": test}
    more |= {"model": "a-scenes-pretrained-full-20-32px", "weights": weights}
    more |= {"head": {"name": "linear"}, "chosen": {"rate": 0.8}, "duplicates": 0, "samples": 40}
    more["scores"] = [{"rate": 0.8, "top1": 70.0}, {"rate": 1.6, "top1": 60.0}]
    return ARM | NUMBERS | more


def old_version(test: str) -> dict:
    """A champion, registered as it was done then, with its weights; its record."""
    weights = trained("a", seed=0)["weights"]
    made, client = old_record(weights, test), tracking.connect()
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id
    run = client.create_run(experiment).info.run_id
    model = client.create_logged_model(experiment, "a", run)
    Path("record.json").write_text(json.dumps(made))
    for file in (weights, "record.json"):
        client.log_model_artifact(model.model_id, file)
    client.finalize_logged_model(model.model_id, "READY")
    tags = {key: str(made[key]) for key in ("model", "target", "test", "size", *NUMBERS)}
    tags |= {"weights": digest(Path(weights)), "model_id": model.model_id, "seeds": "2"}
    tags |= {"params": "p", "commit": "c", "data": "d"}
    named = {f"tagdag.{key}": value for key, value in tags.items()}
    client.create_registered_model("models")
    version = client.create_model_version(
        "models", f"models:/{model.model_id}", run, tags=named, model_id=model.model_id
    )
    client.set_registered_model_alias("models", CHAMPION, version.version)
    return made


def test_an_old_champion_is_compared_by_its_old_tags(place):
    old_version("t")
    told = registered(record("b", 62, 62, 58, test="t"))
    assert "stays version 1, challenger is version 2: low end 58.0 %" in told
    assert "the champion's 60.0 %" in told
    assert "is now version 3" in registered(record("c", 70, 70, 60.5, test="t"))
    numbers = {str(v.version) for v in tracking.connect().search_model_versions("name = 'models'")}
    assert numbers == {"1", "2", "3"}
    tags = tracking.connect().get_model_version("models", "1").tags
    assert tags["tagdag.top1_mean"] == "60.0" and tags["tagdag.target"] == "scenes"


def test_an_old_champion_is_tested_again_on_another_split(place):
    old_version("before")
    test = images(40)
    told = registered(record("b", 1, 99, 0, test=test))
    assert "stays version 1, challenger is version 2: low end 0.0 %" in told
    tags = tracking.connect().get_model_version("models", "1").tags
    assert (tags["tagdag.test"], tags["tagdag.task"], tags["tagdag.metric"]) == (
        test,
        "scenes",
        "accuracy",
    )
    assert tags["tagdag.value.before"] == "60.0" and tags["tagdag.low.before"] == "55.0"
    assert older.tag_number(tags, "value") == float(tags["tagdag.best"])
    other = record("c", 99, 99, 98, test="other", task="birds", data="targets/birds")
    assert "it is a model of 'scenes', the challenger of 'birds'" in registered(other)


def test_an_old_version_is_known_and_shown_with_the_new_ones(place):
    old_version("t")
    identity = (digest(Path("out/a.safetensors")), "32", "p", "c")
    assert registry.known_versions("models") == {identity: "1"}
    registered(record("b", 62, 62, 58, test="t"))
    findings = read("models")
    by_number = {version.number: version for version in findings.versions}
    old, new = by_number["1"], by_number["2"]
    assert (old.value, old.ends, old.headline) == (60.0, (55.0, 65.0), new.headline)
    assert old.tested_on == new.tested_on == ("scenes", "t")
    shown = text(findings)
    assert "60.0 (55.0 to 65.0)" in shown and "62.0 (58.0 to 66.0)" in shown


def test_an_old_record_has_the_keys_of_today():
    found = older.upgraded(old_record("w", "t"))
    today = record_keys()
    assert not {key for key in found if "top1" in key or key in ("target", "mode")}
    assert found["init"] == "a-hashtags" and found["data"] == "targets/scenes"
    assert (found["value"], found["best"], found["values"]) == (60.0, 61.0, {"top5": 99.0})
    assert found["scores"][0] == {"rate": 0.8, "score": 70.0}
    assert today <= found.keys() and older.upgraded(found) == found
    probe = older.upgraded(old_record("w", "t") | {"mode": "linear"})
    assert probe["head"] == {"name": "logistic"}


def record_keys() -> set[str]:
    return {"task", "data", "metric", "policy", "headline", "higher", "unit", "low", "high", "val"}


@pytest.mark.parametrize("tags", [{}, {"owner": "me"}])
def test_a_version_of_another_tool_is_no_old_one(tags):
    assert not older.is_ours(tags) and older.tag_number(tags, "value") is None
