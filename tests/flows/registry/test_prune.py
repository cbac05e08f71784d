"""Old runs and versions go with their files; what is needed stays, and a kill is made good."""

import json
from pathlib import Path

import pytest
from mlflow.entities import ViewType

from engine.core.digest import digest
from flows.registry import deletion, promotion, prunetable, pruning, trees
from flows.tools import prune
from flows.tracking import tracking
from flows.tracking.origin import origin

EVERYTHING = pruning.Rule(0, 0.0)


def experiment() -> str:
    return tracking.connect().get_experiment_by_name(tracking.EXPERIMENT).experiment_id


def tree(name: str, when: int, status: str = "FINISHED", **tags: str) -> dict[str, str]:
    """A pipeline's run, a stage below it and below that the run of a version, all with files."""
    client, ids = tracking.connect(), {}
    above: dict[str, str] = {}
    for level in ("pipeline", "stage", "model"):
        about = above | ({f"tagdag.{key}": value for key, value in tags.items()})
        run = client.create_run(experiment(), when, about, f"{name} {level}")
        ids[level] = run.info.run_id
        above = {trees.PARENT: run.info.run_id}
        client.log_text(run.info.run_id, "x" * 1000, "file.txt")
        client.set_terminated(run.info.run_id, status, when)
    model = client.create_logged_model(experiment(), name, ids["model"])
    Path("weights.safetensors").write_bytes(b"y" * 5000)
    client.log_model_artifact(model.model_id, "weights.safetensors")
    client.finalize_logged_model(model.model_id, "READY")
    made = {"tagdag.model_id": model.model_id}
    version = client.create_model_version(
        "models", f"models:/{model.model_id}", ids["model"], tags=made, model_id=model.model_id
    )
    return ids | {"version": str(version.version), "logged": model.model_id}


@pytest.fixture
def client(place):
    found = tracking.connect()
    found.create_registered_model("models")
    return found


def runs() -> set[str]:
    found = tracking.connect().search_runs([experiment()], run_view_type=ViewType.ALL)
    return {run.info.run_name for run in found}


def files() -> int:
    return sum(file.is_file() for file in Path("mlruns").rglob("*"))


def versions() -> set[str]:
    return {str(v.version) for v in tracking.connect().search_model_versions("name = 'models'")}


def test_nothing_goes_until_it_is_said_and_then_all_of_it(client, capsys):
    tree("old", 1000)
    kept = tree("kept", 2000)
    before = runs(), files()
    prune.main(["--keep", "1"])
    told = capsys.readouterr().out
    assert (runs(), files()) == before
    assert "kept pipeline: stays, one of the newest 1" in told
    # three files of a run and the weights, beside MLflow's own
    assert "old pipeline: goes, 7.8 KiB" in told
    assert "would go: 1 trees of 3 runs and 1 versions, 7.8 KiB; --delete" in told
    prune.main(["--keep", "1", "--delete"])
    assert "deleted: 1 trees of 3 runs and 1 versions" in capsys.readouterr().out
    assert runs() == {"kept pipeline", "kept stage", "kept model"}
    assert versions() == {kept["version"]} and 2 * files() == before[1]
    assert not list(Path("mlruns").rglob("old*"))
    assert [m.model_id for m in client.search_logged_models([experiment()])] == [kept["logged"]]


def reasons(rule: pruning.Rule = EVERYTHING) -> dict[str, str]:
    found = pruning.choose(rule)
    return {each.tree.root.info.run_name.split()[0]: each.reason for each in found}


def test_what_is_needed_stays_and_says_why(client, monkeypatch):
    made = {name: tree(name, 1000) for name in ("first", "second", "alias", "by_hand", "old")}
    for name in ("first", "second"):
        promotion.promote("models", made[name]["version"], "better")
    client.set_registered_model_alias("models", "canary", made["alias"]["version"])
    client.delete_run(made["by_hand"]["pipeline"])
    tree("running", 1000, "RUNNING")
    tree("present", 1000, pipeline=digest(origin()))
    trainer = tree("trainer", 1000)
    client.set_model_version_tag(
        "models", made["second"]["version"], "tagdag.fine-tuning", trainer["model"]
    )
    Path("out/evaluate/scenes").mkdir(parents=True)
    Path("out/w.safetensors").write_bytes(b"here")
    Path("out/evaluate/scenes/records.json").write_text(
        json.dumps([{"weights": "out/w.safetensors"}])
    )
    tree("weights", 1000, wrote=digest(Path("out/w.safetensors")))
    tree("searched", 9000, stage="search")
    Path("dvc.lock").write_text("stages: {}")
    found = reasons()
    told = {
        "first": "a rollback of models may need version 1",
        "second": "version 2 is champion of models",
        "alias": "version 3 is canary of models",
        "running": pruning.RUNNING,
        "present": "it is the run of the present data, commit and params",
        "trainer": "it trained version 2 of models",
        "weights": "dvc.lock has its weights",
        "searched": "it has the last run of the stage search",
        "old": "",
    }
    assert found == told
    assert "not older than 30 days" not in reasons(pruning.Rule(0, 30)).values()
    young = reasons(pruning.Rule(0, 400_000))
    assert young["old"] == "not older than 400000 days"
    prunetable.prune(EVERYTHING, sure=True)
    assert {name.split()[0] for name in runs()} == (told.keys() - {"old"}) | {"by_hand"}
    promotion.rollback("models", "the first is there still")


def test_without_its_outputs_nobody_can_tell_what_the_lock_needs(client, capsys):
    tree("old", 1000)
    Path("dvc.lock").write_text("stages: {}")
    for name in ("none", "weights"):
        if name == "weights":
            Path("out/evaluate/scenes").mkdir(parents=True)
            Path("out/evaluate/scenes/records.json").write_text(
                '[{"weights": "out/gone.safetensors"}]'
            )
        with pytest.raises(SystemExit) as end:
            prune.main(["--keep", "0", "--delete"])
        assert end.value.code == 2 and "dvc checkout" in capsys.readouterr().err
    assert len(runs()) == 3


STEPS = ["_mark", "_versions", "purge_model", "purge_run"]


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_is_made_good_by_a_repeat(client, monkeypatch, step):
    tree("old", 1000)
    kept = tree("kept", 2000)
    whole = files()
    real, calls = getattr(deletion, step), []

    def killed(*given):
        done = real(*given)
        calls.append(given)
        if len(calls) == (2 if step == "purge_run" else 1):
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(deletion, step, killed)
    with pytest.raises(KeyboardInterrupt):
        prunetable.prune(pruning.Rule(1, 0), sure=True)
    monkeypatch.setattr(deletion, step, real)
    assert any(name.startswith("old") for name in runs())
    # it is finished though no rule would choose it now
    prunetable.prune(pruning.Rule(9, 9e9), sure=True)
    assert runs() == {"kept pipeline", "kept stage", "kept model"}
    assert versions() == {kept["version"]} and 2 * files() == whole


def test_a_version_that_is_promoted_meanwhile_stays(client, monkeypatch, capsys):
    old = tree("old", 1000)
    chosen = pruning.choose(EVERYTHING)
    promotion.promote("models", old["version"], "just now")
    monkeypatch.setattr(prunetable, "choose", lambda rule: chosen)
    prunetable.prune(EVERYTHING, sure=True)
    assert "stays: one of its versions has come to be needed" in capsys.readouterr().out
    assert versions() == {old["version"]} and len(runs()) == 3


def test_through_a_server_all_is_marked_only(client, monkeypatch, capsys):
    tree("old", 1000)
    before = files()
    for module in (deletion, prunetable):
        monkeypatch.setattr(module, "can_purge", lambda: False)
    prunetable.prune(EVERYTHING, sure=True)
    assert "mlflow gc" in capsys.readouterr().out and files() == before
    assert versions() == set()
    assert not tracking.connect().search_runs([experiment()])


@pytest.mark.parametrize("given", ["30", "-1d", "1.5d", "d", "٣d", ""])
def test_ages_that_are_none_are_refused(given):
    with pytest.raises(SystemExit):
        prune.main([f"--older-than={given}"])
    assert prune.days("36h") == 1.5 and prune.days("2w") == 14
