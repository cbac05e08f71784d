"""The registry: who becomes champion, with a real MLflow store; and the report's cells."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from engine import checkpoint
from flows import register, report, settings, tracking

COST = {"params": 1e6, "flops": 2e6, "acts": 3e5, "latency_p50_ms": 1.0, "latency_p95_ms": 2.0, "latency_p99_ms": 3.0}
COST |= {"images_per_second": 900.0, "peak_memory_mib": 9.0, "device": "x", "dtype": "float32", "batch": 64}


def record(name: str, top1: float, val: float, low: float, test: str = "t", seeds: int = 3) -> dict:
    """The evaluation record of one model, its weight file written."""
    weights = Path("out") / f"{name}.safetensors"
    checkpoint.save(weights, {"w": torch.full((2,), top1)}, {"name": name})
    spread = (
        {"top1_mean_low": low, "top1_mean_high": 2 * top1 - low}
        if seeds > 1
        else dict.fromkeys(("top1_mean_low", "top1_mean_high"))
    )
    accuracy = {
        "top1": top1,
        "top1_low": low,
        "top1_high": 2 * top1 - low,
        "top5": 99.0,
        "top1_mean": top1,
        "val_top1": val,
        "top1_lower_bound": top1,
        "top1_mean_lower_bound": top1,
    }
    what = {
        "candidate": name,
        "init": "pretrained",
        "mode": "full",
        "labels": 20,
        "samples": 100,
        "duplicates": 0,
        "weights": str(weights),
    }
    return {"model": name, "test": test, "seeds": list(range(seeds))} | accuracy | spread | what | COST


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory) -> Path:
    """An MLflow data base without runs; to make its tables takes seconds."""
    import mlflow

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    mlflow.MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def place(tmp_path, monkeypatch, empty_store):
    """A folder with params.yaml and a fresh MLflow store."""
    params = Path("params.yaml").resolve().read_text()
    monkeypatch.chdir(tmp_path)
    # by its whole path: MLflow keeps a store per address, and a relative one would be that of the first test
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    Path("params.yaml").write_text(params)
    shutil.copyfile(empty_store, "mlflow.db")
    tracking.connect.cache_clear()
    yield tmp_path
    tracking.connect.cache_clear()


def registered(*records: dict) -> str:
    """Run the stage on these records; returns the decision."""
    (settings.OUT / "evaluate").mkdir(parents=True, exist_ok=True)
    (settings.OUT / "evaluate/records.json").write_text(json.dumps(records))
    (settings.OUT / "evaluate/gains.json").write_text("[]")
    register.register(name="models")
    return (settings.OUT / "register/report.md").read_text().split("**")[1]


def test_the_champion_changes_only_beyond_the_interval(place):
    first = record("a", top1=60, val=60, low=50)
    assert "is now version 1" in registered(first)
    assert "stays version 1: it is the best candidate again" in registered(first)
    close = record("b", top1=65, val=65, low=55)
    assert "stays version 1, challenger is version 2" in registered(first, close)
    clear = record("c", top1=80, val=80, low=70)
    assert "is now version 3" in registered(first, close, clear)
    assert "is now version 4" in registered(record("d", top1=40, val=40, low=30, test="other"))
    client = tracking.connect()
    assert client.get_model_version_by_alias("models", "champion").tags["tagdag.model"] == "d"
    assert len(client.search_model_versions("name = 'models'")) == 4


def test_validation_names_the_challenger_and_test_does_not(place):
    lucky, better = record("lucky", top1=90, val=50, low=85), record("better", top1=70, val=60, low=60)
    registered(lucky, better)
    assert tracking.connect().get_model_version_by_alias("models", "challenger").tags["tagdag.model"] == "better"


def test_one_seed_has_no_interval(place):
    text = report.markdown([one := record("a", 60, 60, 50, seeds=1)], [], {"a": "1"}, "done", {})
    assert "| 60.0 (one seed) |" in text
    report.plot(place / "plot.png", [one])
    assert (place / "plot.png").stat().st_size > 1000


def test_the_lower_bound_is_a_column(place):
    one = record("a", 60, 60, 50) | {"duplicates": 2, "top1_lower_bound": 58.0, "top1_mean_lower_bound": 57.3}
    text = report.markdown([one], [], {"a": "1"}, "done", {})
    head, _, cells, *_ = text.splitlines()[2:]
    assert dict(zip(head.split(" | "), cells.split(" | "), strict=True))["lower bound %"] == "57.3"
    assert "100 test images. Lower bound: 2 of them are duplicates of posts and count as wrong" in text
    registered(one)
    version = tracking.connect().get_model_version("models", "1")
    assert tracking.connect().get_run(version.run_id).data.metrics["top1_lower_bound"] == 58


def test_a_run_that_was_cut_short_is_taken_up_again(place):
    with pytest.raises(RuntimeError), tracking.stage_run("corpus", {"size": 1}) as run:
        first = run.id
        raise RuntimeError
    with tracking.stage_run("corpus", {"size": 1}) as run:
        assert run.id == first
        run.metrics({"loss": 1.5}, 3)
    found = tracking.connect().get_run(first)
    assert found.info.status == "FINISHED" and found.data.metrics["loss"] == 1.5
    with tracking.stage_run("corpus", {"size": 1}) as run:
        assert run.id != first


def test_a_committed_dvc_lock_does_not_make_a_run_dirty(place, monkeypatch):
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments], check=True)

    Path("dvc.lock").write_text("a")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "start"]):
        git(*command)
    clean = tracking.origin()
    Path("dvc.lock").write_text("b")
    assert tracking.origin() == clean and "+changes" not in clean["tagdag.commit"]
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("seed: 0", "seed: 1"))
    dirty = tracking.origin()
    assert dirty["tagdag.commit"] == clean["tagdag.commit"] + "+changes"
    assert dirty["tagdag.params"] != clean["tagdag.params"]


def test_origin_and_experiment_are_looked_up_once_per_stage(place, monkeypatch):
    asked = []
    monkeypatch.setattr(tracking, "origin", lambda own=tracking.origin: asked.append("origin") or own())
    client = tracking.connect()
    look_up = client.get_experiment_by_name
    monkeypatch.setattr(client, "get_experiment_by_name", lambda name: asked.append(name) or look_up(name))
    with tracking.stage_run("search", {}) as run:
        for name in ("trial 0", "trial 1"):
            with run.child(name) as child:
                assert client.get_run(child.id).data.tags.items() >= run.origin.items()
    assert sorted(asked) == ["origin", "tagdag"]


def test_metrics_that_never_arrive_fail_the_run(place, monkeypatch):
    from mlflow.exceptions import MlflowException

    def away(*arguments, **options):
        raise MlflowException("away")

    client = tracking.connect()
    with (
        pytest.raises(ValueError, match=r"took no more metrics: start its server"),
        tracking.stage_run("search", {}) as run,
        monkeypatch.context() as patch,
    ):
        patch.setattr(client, "log_batch", away)
        with run.child("trial 0") as child:
            child.metrics({"loss": 1.0})
    assert client.get_run(child.id).info.status == client.get_run(run.id).info.status == "FAILED"
