"""The tree of runs: what a pipeline's run is called, how it ends, what is taken up again, what
MLflow refuses.
"""

import json
import logging
import os
import signal
import time
from pathlib import Path

import pytest

from flows.running import settings
from flows.tracking import refusals, tracking


def tree(client) -> dict[str, tuple[str, str | None]]:
    """Name -> (status, name of the run above) of every run."""
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id
    runs = client.search_runs([experiment])
    names = {run.info.run_id: run.info.run_name for run in runs}
    assert len(names) == len(set(names.values())), names
    return {
        run.info.run_name: (run.info.status, names.get(run.data.tags.get("mlflow.parentRunId")))
        for run in runs
    }


def stages(*names: str) -> None:
    for name in names:
        with tracking.stage_run(name, {"size": 1}) as run, run.child(f"{name} child") as child:
            child.metrics({"loss": 1.0})


def ends(call) -> None:
    """A call in a process of its own that is killed by it."""
    process = os.fork()
    if not process:
        tracking.sender.cache_clear()
        call()
        os._exit(1)
    assert os.waitpid(process, 0)[1] == signal.SIGKILL


def test_after_kills_the_tree_is_that_of_an_undisturbed_run(place):
    stages("corpus", "search")
    client = tracking.connect()
    expected = tree(client)

    def inside() -> None:
        with tracking.stage_run("corpus", {"size": 1}):
            os.kill(os.getpid(), signal.SIGKILL)

    def after() -> None:
        stages("corpus")  # MLflow has its end, DVC not yet
        os.kill(os.getpid(), signal.SIGKILL)

    ends(inside)
    ends(after)
    stages("corpus", "search")
    assert tree(client) == expected and len(expected) == 5


def test_a_pipeline_run_has_a_name_for_people_that_it_keeps(place, monkeypatch):
    store = Path("data/posts/store.json")
    store.parent.mkdir(parents=True)
    store.write_text(json.dumps({"records": 8000}))
    with tracking.stage_run("corpus", {}) as run:
        name = tracking.connect().get_run(run.pipeline.id).info.run_name
    assert name == f"{time.strftime('%Y-%m-%d')} {name[11:16]}, 8,000 posts"
    monkeypatch.setattr(time, "strftime", lambda _: "2030-01-01 00:00")
    with tracking.stage_run("search", {}) as run:
        assert tracking.connect().get_run(run.pipeline.id).info.run_name == name


def test_numbers_can_be_logged_on_the_pipeline_run(place):
    with tracking.stage_run("register", {}) as run, run.child("champion") as child:
        assert child.pipeline == run.pipeline and json.loads(json.dumps(vars(run))) == vars(run)
        run.pipeline.metrics({"champion_top1": 81.5})
        run.pipeline.tags(champion="3")
    found = tracking.connect().get_run(run.pipeline.id)
    assert (
        found.data.metrics == {"champion_top1": 81.5} and found.data.tags["tagdag.champion"] == "3"
    )
    assert found.info.status == "FINISHED" and run.pipeline.id != run.id


def test_a_failed_pipeline_stays_failed_until_its_stage_is_run_well(place):
    with pytest.raises(RuntimeError), tracking.stage_run("finetune@a", {}) as run:
        raise RuntimeError
    client, pipeline = tracking.connect(), run.pipeline.id
    with tracking.single_run("version add", "posts", {"data": "abc"}) as single:
        single.metrics({"added": 5})
    assert client.get_run(pipeline).info.status == "FAILED"
    stages("corpus")  # dvc repro --keep-going
    assert client.get_run(pipeline).info.status == "FAILED"
    stages("finetune@a")
    with tracking.stage_run("finetune@a", {}):
        pass
    assert client.get_run(pipeline).info.status == "FINISHED"


def test_an_import_is_a_run_of_its_own(place):
    for _ in range(2):
        with tracking.single_run("version add", "posts, targets/scenes", {"data": "abc"}) as run:
            pass
        found = tracking.connect().get_run(run.id)
        assert found.info.run_name == "version add: posts, targets/scenes" and run.pipeline is None
        assert (
            found.data.tags["tagdag.command"] == "version add" and found.info.status == "FINISHED"
        )
        assert "mlflow.parentRunId" not in found.data.tags and found.data.params == {"data": "abc"}
    assert len(tracking.connect().search_runs([run.experiment])) == 2


def test_a_stage_beside_another_leaves_the_pipeline_running(place):
    with tracking.stage_run("corpus", {}) as run:
        stages("search")
        assert tracking.connect().get_run(run.pipeline.id).info.status == "RUNNING"
    assert tracking.connect().get_run(run.pipeline.id).info.status == "FINISHED"


def test_params_that_differ_in_a_run_taken_up_again_stop_nothing(place):
    with tracking.stage_run("finetune", {}) as run:
        for score in (71.5, 71.5, 64.0):
            with run.child("arm") as child:
                child.params({"mode": "full", "chosen": {"rate": score}, f"new {score}": 1})
    found = tracking.connect().get_run(child.id).data
    assert found.params == {"mode": "full", "chosen.rate": "71.5", "new 71.5": "1", "new 64.0": "1"}
    assert found.tags["tagdag.param.chosen.rate"] == "64.0"


def test_any_number_of_params_is_logged(place):
    with tracking.stage_run("finetune", {f"p{i}": i for i in range(250)}) as run:
        pass
    assert len(tracking.connect().get_run(run.id).data.params) == 250


@pytest.mark.parametrize(
    "name", ["a+b(c)#", "../x", "/etc", "a//b", "it's", 'say "hi"', "back\\", ".", "é" * 300]
)
def test_any_name_is_logged(place, name):
    assert refusals.allowed_name("loss/top1 at 5:é") == "loss/top1 at 5:é"
    assert refusals.allowed_name("a+b") != refusals.allowed_name("a(b")
    for _ in range(2):
        with tracking.stage_run("corpus", {name: 1}) as run, run.child(name) as child:
            child.metrics({name: 2.0, "loss": 1.0})
            child.tags(**{name: "x"})
    found = tracking.connect().get_run(child.id)
    assert sorted(found.data.metrics.values()) == [1.0, 2.0] and found.info.run_name == name


def test_what_mlflow_refuses_is_kept_told_and_holds_up_nothing(place, monkeypatch, caplog):
    monkeypatch.setenv("TAGDAG_MLFLOW_PATIENCE", "20")
    # as if MLflow were stricter than we know
    monkeypatch.setattr("flows.tracking.run.allowed_name", str)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING), tracking.stage_run("version", {}) as run:
        run.metrics({"loss": 1.0, "a+b(c)#": 5.0, "rate": 0.1}, 3)
    assert time.monotonic() - began < 10
    found = tracking.connect().get_run(run.id)
    assert found.info.status == "FINISHED" and found.data.metrics == {"loss": 1.0, "rate": 0.1}
    assert f"refuses metric 'a+b(c)#' of run {run.id}" in caplog.text
    [file] = (settings.STATE / "metrics").iterdir()
    row = json.loads(file.read_text())
    assert file.name == "refused.jsonl" and row["run"] == run.id
    assert row["values"][0][:2] == ["a+b(c)#", 5.0]
    assert "takes nothing at present" not in caplog.text


def test_a_stage_is_linked_by_the_page_of_its_run(place, monkeypatch):
    told = []
    monkeypatch.setattr(tracking, "link_artifact", lambda *link: told.append(link))
    with tracking.stage_run("pretrain@a", {}) as run:
        pass
    page = f"http://127.0.0.1:5000/#/experiments/{run.experiment}/runs/{run.id}"
    assert told == [("mlflow-pretrain-a", page, "MLflow run of pretrain@a")]
    experiment = tracking.connect().get_experiment(run.experiment)
    assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"
