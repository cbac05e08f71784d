"""The registry with a real MLflow store: who becomes champion, what a version shows."""

import json
from pathlib import Path

import pytest

from flows.measuring import dvcmetrics
from flows.measuring.lognumbers import record_numbers
from flows.registry import modelcard
from flows.running import settings
from flows.tracking import address, tracking
from tests.support.records import TIMES, record, registered


def test_the_champion_changes_only_beyond_the_interval(place):
    first = record("a", value=60, val=60, low=50)
    assert "is now version 1" in registered(first)
    assert "stays version 1: it is the best candidate again" in registered(first)
    close = record("b", value=65, val=65, low=55)
    assert "stays version 1, challenger is version 2" in registered(first, close)
    clear = record("c", value=80, val=80, low=70)
    assert "is now version 3" in registered(first, close, clear)
    assert "is now version 4" in registered(record("d", value=95, val=95, low=85))
    client = tracking.connect()
    assert client.get_model_version_by_alias("models", "champion").tags["tagdag.model"] == "d"
    assert len(client.search_model_versions("name = 'models'")) == 4


def test_validation_names_the_challenger_and_test_does_not(place):
    lucky, better = (
        record("lucky", value=90, val=50, low=85),
        record("better", value=70, val=60, low=60),
    )
    registered(lucky, better)
    assert (
        tracking.connect().get_model_version_by_alias("models", "challenger").tags["tagdag.model"]
        == "better"
    )


BIRDS = {"task": "birds", "data": "targets/birds"}


def test_each_task_has_a_model_and_a_champion_and_each_size_is_a_version(place):
    first = record("a", value=60, val=60, low=50)
    other = record("b", value=99, val=99, low=98) | BIRDS
    larger = first | {"model": "a-40px", "size": 40, "val": 70}
    registered(first, larger, other)
    client = tracking.connect()
    assert client.get_model_version_by_alias("models", "champion").tags["tagdag.model"] == "a-40px"
    assert len(client.search_model_versions("name = 'models'")) == 2
    [bird] = client.search_model_versions("name = 'models-birds'")
    assert (bird.tags["tagdag.model"], bird.tags["tagdag.task"]) == ("b", "birds")
    assert client.get_registered_model("models-birds").aliases == {"challenger": 1, "champion": 1}
    assert "## birds" in (settings.OUT / "register/report.md").read_text()
    assert (settings.OUT / "register/versions-birds.html").is_file()
    stage = client.get_run(client.get_run(bird.run_id).data.tags["mlflow.parentRunId"])
    shown = stage.data.metrics
    assert (
        shown["matrix/scenes/a/hashtags/40 px/top1"],
        shown["matrix/birds/b/hashtags/top1"],
    ) == (
        60,
        99,
    )
    pipeline = client.get_run(stage.data.tags["mlflow.parentRunId"]).data
    assert (pipeline.metrics["champion_top1"], pipeline.metrics["birds/champion_top1"]) == (60, 99)


def test_a_task_that_experiments_would_share_is_refused(place):
    with pytest.raises(ValueError, match=r"tasks\.experiments: .* call it something else"):
        registered(record("a", 60, 60, 50), record("b", 60, 60, 50, task="experiments"))


ERROR = {"headline": "pixel_error", "higher": False, "unit": "px", "metric": {"name": "toy"}}


def test_where_less_is_better_the_high_end_is_to_lie_below(place):
    def measured(name: str, value: float, high: float) -> dict:
        return record(name, value, value, value - 1) | ERROR | {"high": high}

    first = measured("a", 10, 12)
    assert "is now version 1" in registered(first)
    close = measured("b", 8, 10.5)
    told = registered(first, close)
    assert "high end 10.5 px of the challenger's interval is not below the champion's 10 px" in told
    clear = measured("c", 6, 7.25)
    assert "is now version 3: high end 7.25 px" in registered(first, close, clear)
    tags = tracking.connect().get_model_version_by_alias("models", "champion").tags
    keys = ("headline", "higher", "unit", "metric", "value", "high")
    found = tuple(tags[f"tagdag.{key}"] for key in keys)
    assert found == ("pixel_error", "False", "px", "toy", "6", "7.25")


def test_a_challenger_without_an_interval_never_takes_over(place):
    registered(record("a", 60, 60, 50))
    bare = record("b", 99, 99, 98, seeds=2) | {"low": None, "high": None}
    told = registered(bare)
    assert "stays version 1" in told and "of 2 seeds none can be told; train three" in told


def test_the_lower_bound_is_a_metric_of_the_version(place):
    one = record("a", 60, 60, 50) | {
        "duplicates": 2,
        "best_bound": 58.0,
        "bound": 57.3,
    }
    registered(one)
    version = tracking.connect().get_model_version("models", "1")
    assert tracking.connect().get_run(version.run_id).data.metrics["top1_lower_bound"] == 58


def source_runs() -> dict[str, tuple]:
    """By model name: the version, its source run and its logged model."""
    client = tracking.connect()
    versions = client.search_model_versions("name = 'models'")
    return {
        v.tags["tagdag.model"]: (
            v,
            client.get_run(v.run_id),
            client.get_logged_model(v.tags["tagdag.model_id"]),
        )
        for v in versions
    }


def test_each_version_shows_its_own_numbers_params_data_and_schema(place):
    import mlflow

    cost = TIMES | {"mode": "inference", "batch": 8, "asked": 8, "images_per_second": 70.0}
    one = record("a", 60, 60, 50, chosen={"rate": 0.8}, costs=[cost | {"peak_memory_mib": 3.0}])
    registered(one, record("b", 30, 30, 20, test="u", size=40, params=2e6))
    found = source_runs()
    for name, value, parameters in (("a", 60, 1e6), ("b", 30, 2e6)):
        version, run, model = found[name]
        assert run.data.metrics["top1"] == value and run.data.metrics["params"] == parameters
        assert {m.key: m.value for m in model.metrics}["top1"] == value
        assert run.data.params["candidate"] == model.params["candidate"] == name
        assert run.data.params["network.backbone.depth"] == "3"
        assert (str(model.status), model.source_run_id) == ("READY", run.info.run_id)
        assert json.loads(model.tags["mlflow.modelVersions"]) == [
            {"name": "models", "version": int(version.version)}
        ]
    _, run, model = found["a"]
    assert run.data.params["chosen.rate"] == "0.8"
    assert run.data.metrics["cost/inference/8/images_per_second"] == 70
    [data] = found["b"][1].inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == ("targets/scenes", "u")
    assert {(m.dataset_name, m.dataset_digest) for m in found["b"][2].metrics} == {
        ("targets/scenes", "u")
    }
    folder = Path(
        mlflow.artifacts.download_artifacts("models:/models@champion", dst_path=str(place / "got"))
    )
    assert json.loads((folder / "record.json").read_text()) == one
    signature = mlflow.models.Model.load(folder).signature
    assert [kind.name for kind in signature.inputs.input_types()] == ["binary"]
    assert signature.outputs.input_names() == ["class", "score", "classes", "scores", "error"]


def test_a_version_links_to_the_runs_that_trained_it(place):
    from engine.core.digest import digest

    one = record("a", 60, 60, 50)
    (settings.OUT / "pretrain/a-hashtags").mkdir(parents=True)
    (settings.OUT / "pretrain/a-hashtags/model.safetensors").write_bytes(b"backbone")
    for stage, wrote in (
        ("finetune@scenes", one["weights"]),
        ("pretrain@a-hashtags", "out/pretrain/a-hashtags/model.safetensors"),
    ):
        with tracking.stage_run(stage, {}) as run:
            run.tags(wrote=digest(Path(wrote)))
    registered(one, record("b", 30, 30, 20, init="scratch"))
    client, found = tracking.connect(), source_runs()
    linked = {what: found["a"][0].tags[f"tagdag.{what}"] for what in ("fine-tuning", "pretraining")}
    stages = {what: client.get_run(run).data.tags["tagdag.stage"] for what, run in linked.items()}
    assert stages == {"fine-tuning": "finetune@scenes", "pretraining": "pretrain@a-hashtags"}
    assert all(f"/runs/{run})" in found["a"][0].description for run in linked.values())
    assert "tagdag.pretraining" not in found["b"][0].tags


def test_the_best_has_the_newest_version(place):
    some = [record(name, val, val, val - 5) for name, val in (("a", 60), ("c", 80), ("b", 70))]
    registered(*some)
    order = {v.tags["tagdag.model"]: int(v.version) for v, _, _ in source_runs().values()}
    assert order == {"a": 1, "b": 2, "c": 3}


def test_the_pipeline_run_tells_of_champion_and_challenger(place):
    registered(record("a", 60, 60, 50))
    registered(record("a", 60, 60, 50), record("b", 65, 65, 55))
    client = tracking.connect()
    stage = client.get_run(source_runs()["b"][1].data.tags["mlflow.parentRunId"])
    pipeline = client.get_run(stage.data.tags["mlflow.parentRunId"]).data
    assert "tagdag.pipeline" in pipeline.tags
    assert (pipeline.metrics["champion_top1"], pipeline.metrics["challenger_top1"]) == (60, 65)
    assert (
        pipeline.metrics["champion_top1_low"] == 50
        and pipeline.metrics["champion_latency_p50_ms"] == 1
    )
    assert pipeline.tags["tagdag.champion"] == "models version 1"


def test_an_experiment_names_no_champion_unless_asked(place, monkeypatch):
    client = tracking.connect()
    registered(record("a", 60, 60, 50))
    monkeypatch.setenv("DVC_EXP_NAME", "wild-card")
    better = record("b", 90, 90, 80)
    assert "champion is left alone" in registered(better)
    assert client.get_registered_model("models").aliases == {"challenger": 1, "champion": 1}
    assert len(client.search_model_versions("name = 'models'")) == 1
    [apart] = client.search_model_versions("name = 'models-experiments'")
    assert apart.tags["tagdag.experiment"] == "wild-card"
    assert client.get_registered_model("models-experiments").aliases == {}
    assert "is now version 2" in registered(better, experiments=True)


def test_the_same_weights_on_another_split_get_the_new_numbers(place):
    registered(record("a", 60, 60, 50), record("b", 30, 30, 20))
    new = [record("a", 60, 60, 50), record("b", 30, 30, 20)]
    less = [dict.fromkeys(("best", "value"), each["value"] - 9) for each in new]
    pairs = zip(new, less, strict=True)
    new = [each | {"test": "u", "low": each["value"] - 15} | now for each, now in pairs]
    assert "stays version 2: it is the best candidate again" in registered(*new)
    found = source_runs()
    assert len(tracking.connect().search_model_versions("name = 'models'")) == 2
    tags = found["a"][0].tags
    assert (tags["tagdag.test"], tags["tagdag.value"], tags["tagdag.value.t"]) == ("u", "51", "60")
    assert found["a"][1].data.metrics["top1"] == 51 and found["b"][1].data.metrics["top1"] == 21


def test_a_version_whose_files_were_deleted_is_registered_again(place):
    one = record("a", 60, 60, 50)
    registered(one)
    tracking.connect().delete_logged_model(source_runs()["a"][2].model_id)
    assert "challenger is version 2" in registered(one)


def test_busy_costs_are_marked(place):
    one, calm = (
        record("a", 60, 60, 50, busy="load 7.1 of 2 cores"),
        record("b", 50, 50, 40, busy=False),
    )
    labels = [modelcard.version_tags(each, {})["tagdag.busy"] for each in (one, calm)]
    assert labels == ["load 7.1 of 2 cores", "no"] and "tagdag.busy" not in modelcard.version_tags(
        record("a", 60, 60, 50), {}
    )


def test_a_busy_time_is_compared_with_no_other(place):
    row = TIMES | {"mode": "inference", "batch": 1, "asked": 1}
    row |= {"images_per_second": 7.0, "peak_memory_mib": 3.0}
    busy = record("a", 60, 60, 50, busy="others", costs=[row | {"busy": False}])
    calm = record("b", 50, 50, 40, busy=False, costs=[row | {"busy": "others"}])
    shown = dvcmetrics.numbers([busy, calm])
    both = {"top1", "top1_low", "top1_high", "lower_bound"}
    assert set(shown["a"]) == both | {"latency_p50_ms_busy"}
    assert set(shown["b"]) == both | {"latency_p50_ms"}
    marked, plain = (record_numbers(each) for each in (busy, calm))
    assert "latency_p50_ms" not in marked and marked["images_per_second_busy"] == 900
    assert plain["latency_p50_ms"] == 1 and "cost/inference/1/latency_p50_ms" in marked
    assert "cost/inference/1/latency_p50_ms_busy" in plain
    assert "cost/inference/1/latency_p50_ms" not in plain
    registered(busy)
    stage = tracking.connect().get_run(source_runs()["a"][1].data.tags["mlflow.parentRunId"])
    metrics = tracking.connect().get_run(stage.data.tags["mlflow.parentRunId"]).data.metrics
    assert metrics["champion_latency_p50_ms_busy"] == 1 and "champion_latency_p50_ms" not in metrics


def test_names_that_mlflow_refuses(place):
    registered(record("a", 60, 60, 50, model="a-my.set-'x'/y"))
    assert source_runs()["a-my.set-'x'/y"][2].name == "a-my_set-_x__y"
    with pytest.raises(ValueError, match="leave it out"):
        registered(record("a", 60, 60, 50), name="it's")
    with pytest.raises(
        ValueError, match=r"MLflow refuses 'a/b' \(Invalid model name .*choose another"
    ):
        registered(record("a", 60, 60, 50), name="a/b")
    lost = record("a", 60, 60, 50, model="a-my.set-'x'/y")
    (settings.OUT / "a.safetensors").unlink()
    with pytest.raises(ValueError, match=r"a\.safetensors, the weights of a-my.*is missing: run"):
        registered(lost)


def test_addresses_hold_no_password(place, monkeypatch):
    tracking.connect()
    monkeypatch.setattr(address, "_named", lambda: "https://me:secret@mlflow.example:8443/base/")
    registered(record("a", 60, 60, 50))
    text = (settings.OUT / "register/report.md").read_text()
    assert "https://mlflow.example:8443/base/#/models/models" in text and "secret" not in text
