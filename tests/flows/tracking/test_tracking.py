"""MLflow runs and the metrics on their way to it: a real store and server that are locked,
killed and started again.
"""

import json
import multiprocessing
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks.tracking import Lock, Logging, Server
from flows.running import settings
from flows.tracking import outage, tracking
from flows.tracking.run import send_metrics
from flows.tracking.spool import MetricSpool

ROOT = Path(__file__).parents[3]
VALUES = [("loss", 0.1, 1_700_000_000_000, 1), ("loss", float("inf"), 1_700_000_000_001, 2)]


def python(code: str, **options) -> subprocess.Popen:
    """Another process that logs to the same MLflow."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=env, stdin=-1, stdout=-1, text=True, **options
    )


def stored(file: Path, run: str) -> list[tuple[str, int, float]]:
    """What MLflow's data base holds of a run's metrics."""
    with sqlite3.connect(file) as base:
        query = "SELECT key, step, value FROM metrics WHERE run_uuid = ? ORDER BY key, step"
        return base.execute(query, [run]).fetchall()


def assert_fast(spent: np.ndarray) -> None:
    """No call waited for MLflow: microseconds of each.

    The 99th percentile, as other work shares the processors.
    """
    p50, p99, most = *np.percentile(spent, (50, 99)), spent.max()
    assert p99 < 5000, (
        f"µs of {len(spent)} calls: median {p50:.0f}, 99th percentile {p99:.0f}, largest {most:.0f}"
    )


@pytest.fixture
def server(tmp_path, place, monkeypatch):
    """A running MLflow server that this process logs to."""
    (tmp_path / "server").mkdir()
    server = Server(tmp_path / "server")
    server.start()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    yield server
    server.kill()


@pytest.mark.serial
def test_a_server_that_is_killed_and_comes_back_has_every_metric_once(server, place):
    Path("file.txt").write_text("weights")
    with tracking.stage_run("pretrain", {"size": 1}) as run:
        logging = Logging(run)
        spent = [logging.during(2.5)]
        server.kill()
        spent += [logging.during(3)]
        back = threading.Thread(target=server.start)
        back.start()
        spent += [logging.during(1)]
        run.files(Path("file.txt"))  # these wait for the server
        run.tags(decision="none")
        spent += [logging.during(0.5)]
    back.join()
    assert logging.counts(server.file) == {
        "sent": 3 * logging.steps,
        "taken": 3 * logging.steps,
        "doubled": 0,
        "lost": 0,
    }
    assert_fast(np.concatenate(spent))
    found = tracking.connect().get_run(run.id)
    assert found.info.status == "FINISHED" and found.data.tags["tagdag.decision"] == "none"
    assert [file.path for file in tracking.connect().list_artifacts(run.id)] == ["file.txt"]
    assert not list((settings.STATE / "metrics").iterdir())


@pytest.mark.serial
def test_a_locked_data_base_holds_up_the_end_of_a_run_only(place):
    lock = Lock(place / "mlflow.db")
    with tracking.stage_run("pretrain", {}) as run:
        logging = Logging(run)
        lock.take()
        spent = logging.during(3)
        threading.Timer(1.5, lock.release).start()
    assert_fast(spent)
    assert logging.counts(place / "mlflow.db")["taken"] == 3 * logging.steps == 3 * len(spent)


def test_a_process_killed_while_mlflow_is_away_loses_no_metric(place):
    lock = Lock(place / "mlflow.db")
    process = python("""if True:
        import os
        from flows.tracking import tracking

        with tracking.stage_run("pretrain", {}) as run:
            print(run.id, flush=True)
            input()
            for step in range(500):
                run.metrics({"loss": 1 / (step + 1), "rate": 0.1}, step)
            assert not run.flush(0.5)
            print("logged", flush=True)
            input()""")
    killed = process.stdout.readline().strip()
    lock.take()
    print(file=process.stdin, flush=True)
    assert process.stdout.readline() == "logged\n"
    process.kill()
    process.wait()
    lock.release()
    assert stored(place / "mlflow.db", killed) == []
    with tracking.stage_run("pretrain", {}) as run:
        run.metrics({"loss": 0.0}, 500)
    assert run.id == killed and not list((settings.STATE / "metrics").iterdir())
    losses = [("loss", step, 1 / (step + 1)) for step in range(500)] + [("loss", 500, 0.0)]
    assert stored(place / "mlflow.db", killed) == losses + [
        ("rate", step, 0.1) for step in range(500)
    ]


def test_a_batch_that_is_sent_again_is_stored_once(place):
    values = [("loss", 1 / (step + 1), 1_700_000_000_000, step) for step in range(300)]
    values += [
        ("nan", float("nan"), 1_700_000_000_000, 1),
        ("infinite", float("inf"), 1_700_000_000_000, 1),
    ]
    with tracking.stage_run("pretrain", {}) as run:
        send_metrics(run.id, values[:200])
        send_metrics(run.id, values)
    assert len(stored(place / "mlflow.db", run.id)) == len(values)


def logged(run: tracking.Run, end: str) -> None:
    """A worker of a distributed training."""
    run.metrics({"loss": 0.5}, 7)
    if end == "flush":
        assert run.flush()
    if end == "kill":
        time.sleep(0.3)  # less than from one sending to the next
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("end", ["flush", "return", "kill"])
def test_a_run_is_handed_to_another_process(place, monkeypatch, end):
    monkeypatch.setattr(multiprocessing.process, "ORIGINAL_DIR", str(place))
    with tracking.stage_run("pretrain", {}) as run:
        assert pickle.loads(pickle.dumps(run)) == run and len(pickle.dumps(run)) < 1000
        worker = multiprocessing.get_context("spawn").Process(target=logged, args=(run, end))
        worker.start()
        worker.join()
        assert worker.exitcode == (-9 if end == "kill" else 0)
        assert end != "flush" or stored(place / "mlflow.db", run.id) == [("loss", 7, 0.5)]
    assert stored(place / "mlflow.db", run.id) == [("loss", 7, 0.5)]
    assert not list((settings.STATE / "metrics").iterdir())


def test_metrics_that_never_arrive_fail_the_run_and_are_kept(place, monkeypatch):
    from mlflow.exceptions import MlflowException

    def away(*arguments, **options):
        raise MlflowException("away")

    client = tracking.connect()
    with (
        pytest.raises(
            ValueError,
            match=r"took no more metrics for 0 s, what is left is kept in .*: start its server",
        ),
        tracking.stage_run("search", {}) as run,
        monkeypatch.context() as patch,
    ):
        patch.setattr(client, "log_batch", away)
        patch.setenv("TAGDAG_MLFLOW_PATIENCE", "0.3")
        with run.child("trial 0") as child:
            child.metrics({"loss": 1.0})
    assert client.get_run(child.id).info.status == client.get_run(run.id).info.status == "FAILED"
    with tracking.stage_run("search", {}) as run, run.child("trial 0") as again:
        pass
    assert again.id == child.id and client.get_run(child.id).data.metrics == {"loss": 1.0}


def test_mlflow_that_is_away_is_called_again_and_one_that_refuses_is_not(monkeypatch):
    from mlflow.exceptions import MlflowException

    failures = [MlflowException("away")]
    monkeypatch.setattr(time, "sleep", lambda seconds: None)

    @outage.retry
    def call() -> str:
        if failures:
            raise failures.pop()
        return "taken"

    assert call() == "taken"
    failures += [MlflowException("refused", error_code=1000)]
    failures[0].error_code = "INVALID_PARAMETER_VALUE"
    with pytest.raises(MlflowException, match="refused"):
        call()
    monkeypatch.setenv("TAGDAG_MLFLOW_PATIENCE", "0")
    failures += [MlflowException("away")]
    with pytest.raises(MlflowException, match="away"):
        call()


def test_a_spool_is_adopted_from_a_dead_process_only_and_goes_with_its_last_value(tmp_path):
    dead, alive = MetricSpool(tmp_path, "run"), MetricSpool(tmp_path, "run")
    dead.append(VALUES)
    alive.append(VALUES[:1])
    [path] = [path for path, file in dead._files if not file.close()]  # as its end would
    path.write_bytes(path.read_bytes() + json.dumps(VALUES).encode()[:20])  # killed as it wrote
    heir = MetricSpool(tmp_path, "run")
    heir.adopt()
    assert heir.first(9) == VALUES and len(list(tmp_path.iterdir())) == 2
    heir.taken(1)
    assert heir.first(9) == VALUES[1:] and path.exists()
    heir.taken(1)
    assert not path.exists() and len(list(tmp_path.iterdir())) == 1


def test_a_run_that_was_cut_short_is_taken_up_again(place):
    with pytest.raises(RuntimeError), tracking.stage_run("corpus", {"size": 1}) as run:
        first = run.id
        raise RuntimeError
    with tracking.stage_run("corpus", {"size": 1}) as run:
        assert run.id == first
        run.metrics({"loss": 1.5}, 3)
    found = tracking.connect().get_run(first)
    assert found.info.status == "FINISHED" and found.data.metrics["loss"] == 1.5
    with tracking.stage_run(
        "corpus", {"size": 1}
    ) as run:  # by --force, or killed before DVC noted its end
        assert run.id == first
    assert tracking.connect().get_run(first).data.tags["tagdag.attempts"] == "3"
    with tracking.stage_run("corpus", {"size": 2}) as run:
        assert run.id != first


def test_a_committed_dvc_lock_does_not_make_a_run_dirty(place, monkeypatch):
    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments], check=True
        )

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
    monkeypatch.setattr(
        tracking, "origin", lambda own=tracking.origin: asked.append("origin") or own()
    )
    client = tracking.connect()
    look_up = client.get_experiment_by_name
    monkeypatch.setattr(
        client, "get_experiment_by_name", lambda name: asked.append(name) or look_up(name)
    )
    with tracking.stage_run("search", {}) as run:
        for name in ("trial 0", "trial 1"):
            with run.child(name) as child:
                assert client.get_run(child.id).data.tags.items() >= run.origin.items()
    assert sorted(asked) == ["origin", "tagdag"]
