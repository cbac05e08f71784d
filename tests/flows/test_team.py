"""What a team shares, all of it real: MLflow and Optuna and Prefect in PostgreSQL, MLflow's files
and DVC's remote on S3.
"""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest

from benchmarks.s3 import S3
from benchmarks.services import bare_environment
from flows.running.postgresql import check_address, check_release
from flows.searching import storage
from flows.tracking import artifacts, tracking
from tests.support.servers import prefect_server

ROOT = Path(__file__).parents[2]
SMALL = """
import optuna
from pathlib import Path
from flows.running.orchestrate import flow, task
from flows.searching.storage import connect, open_study
from flows.tracking.tracking import stage_run

@task
def trial(number):
    study = open_study(connect(Path("unused")), "team", 1)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    return number

@flow
def small():
    with stage_run("corpus", {"size": 32}) as run:
        for number in range(3):
            run.metrics({"loss": trial(number)}, step=number)
        run.files(Path("weights.bin"))

small()
"""


def rows(url: str, query: str) -> list[tuple]:
    with psycopg.connect(url, client_encoding="utf8") as base:
        return base.execute(query).fetchall()


def fresh() -> None:
    tracking.connect.cache_clear()
    tracking.sender.cache_clear()


@pytest.fixture
def shared(place, postgres_server, s3, monkeypatch):
    """The environment of a member of the team, in a folder of DVC's with a file."""
    named = {
        "MLFLOW_TRACKING_URI": postgres_server.base("team_mlflow"),
        "TAGDAG_SEARCH_STORAGE": postgres_server.base("team_search"),
        "TAGDAG_ARTIFACTS": f"s3://{s3.bucket}/mlflow",
    }
    for name, text in named.items():
        monkeypatch.setenv(name, text)
    Path("weights.bin").write_bytes(os.urandom(100_000))
    return named


def test_all_that_a_run_leaves_is_in_postgresql_and_on_s3(shared, s3, postgres_server, tmp_path):
    base = postgres_server.base("team_prefect").replace("postgresql:", "postgresql+asyncpg:")
    home = tmp_path / "home"
    home.mkdir()
    with prefect_server(home, PREFECT_API_DATABASE_CONNECTION_URL=base) as server:
        env = (
            bare_environment()
            | s3.env
            | shared
            | {"PYTHONPATH": str(ROOT), "PREFECT_HOME": str(home)}
        )
        env |= {"PREFECT_API_URL": f"{server.url}/api"}
        done = subprocess.run(
            [sys.executable, "-c", SMALL], env=env, capture_output=True, text=True, timeout=300
        )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    counted = {
        "team_mlflow": ("SELECT count(*) FROM metrics WHERE key = 'loss'", 3),
        "team_search": ("SELECT count(*) FROM trials WHERE state = 'COMPLETE'", 3),
        "team_prefect": ("SELECT count(*) FROM task_run WHERE state_type = 'COMPLETED'", 3),
    }
    for name, (query, number) in counted.items():
        assert rows(postgres_server.base(name), query) == [(number,)], name
    [flow] = rows(postgres_server.base("team_prefect"), "SELECT name, state_type FROM flow_run")
    assert flow == ("small", "COMPLETED")
    remote = f"s3://{s3.bucket}/dvc"
    for arguments in (("init", "-q", "--no-scm"), ("remote", "add", "-q", "-d", "team", remote)):
        subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True)
    for arguments in (("add", "-q", "weights.bin"), ("push", "-q")):
        subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True)
    listed = s3.client.list_objects_v2(Bucket=s3.bucket)["Contents"]
    sizes = sorted((item["Key"].split("/")[0], item["Size"]) for item in listed)
    # and the object that tried whether the bucket can be written to
    assert sizes == [("dvc", 100_000), ("mlflow", 0), ("mlflow", 100_000)]
    assert not Path("mlruns").exists()


def test_files_wait_for_s3(place, s3, s3_server: S3, monkeypatch, caplog):
    monkeypatch.setenv("TAGDAG_ARTIFACTS", f"s3://{s3.bucket}/mlflow")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    Path("weights.bin").write_bytes(b"x" * 1000)
    Path("mlflow.db").unlink()
    with tracking.single_run("test", "s3", {}) as run:
        s3_server.stop()
        threading.Timer(2, s3_server.start).start()
        run.files(Path("weights.bin"))
    keys = [item["Key"] for item in s3.client.list_objects_v2(Bucket=s3.bucket)["Contents"]]
    assert f"mlflow/{run.id}/artifacts/weights.bin" in keys
    assert "takes nothing at present" in caplog.text


def test_a_bucket_that_refuses_is_told_before_anything_runs(place, s3, monkeypatch):
    monkeypatch.setenv("TAGDAG_ARTIFACTS", f"s3://{s3.bucket}/mlflow")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-wrong-secret")
    monkeypatch.setenv("TAGDAG_MLFLOW_PATIENCE", "30")
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"S3 refused s3://.*check AWS_ACCESS_KEY_ID") as error:
        tracking.connect()
    assert "planted" not in str(error.value) and time.monotonic() - began < 20


def test_another_place_than_that_of_the_experiment_is_told(monkeypatch, caplog):
    monkeypatch.setenv("TAGDAG_ARTIFACTS", "s3://new/place")
    artifacts.warn_of_other("s3://new/place/")
    assert not caplog.text
    artifacts.warn_of_other("s3://old/place")
    assert "files go to s3://old/place, where the experiment was made" in caplog.text


def test_tables_of_other_releases_are_told_with_the_command(
    shared, postgres_server, tmp_path, monkeypatch
):
    tracking.connect()
    storage.connect(tmp_path / "unused")
    stamp = "UPDATE alembic_version SET version_num = '{}'"
    for name, revision in (("team_mlflow", "451aebb31d03"), ("team_search", "v3.0.0.d")):
        with psycopg.connect(postgres_server.base(name)) as base:
            base.execute(stamp.format(revision))
    fresh()
    # a new address: MLflow looks at the tables once for each
    monkeypatch.setenv("MLFLOW_TRACKING_URI", shared["MLFLOW_TRACKING_URI"] + "?application_name=t")
    with pytest.raises(ValueError, match=r"made by another version of MLflow.*mlflow db upgrade"):
        tracking.connect()
    with pytest.raises(ValueError, match=r"an older Optuna.*optuna storage upgrade"):
        storage.connect(tmp_path / "unused")


def test_a_postgresql_that_is_too_old_or_away_is_told(postgres_server):
    with pytest.raises(ValueError, match=r"MLFLOW_TRACKING_URI names is PostgreSQL 13\.7, older"):
        check_release((13, 7), "MLFLOW_TRACKING_URI")
    check_address("sqlite+aiosqlite:///prefect.db", "NAMED")
    check_address(postgres_server.url.replace("postgresql:", "postgresql+asyncpg:"), "NAMED")
    with pytest.raises(ValueError, match=r"NAMED names does not answer .*start it") as error:
        check_address("postgresql+asyncpg://me:planted@127.0.0.1:1/base", "NAMED")
    assert "planted" not in str(error.value)
