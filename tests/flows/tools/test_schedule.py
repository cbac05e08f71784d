"""New posts come in from a folder, and Prefect's schedule starts the runs by itself."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks.clone import SMALL, overlaid, sampled
from benchmarks.screens import prefect_page, see
from benchmarks.services import bare_environment
from flows.running import schedule
from flows.tools.watch import empty, fresh
from tests.flows.data.test_version import photograph
from tests.flows.test_pipeline import clone, edit
from tests.support.commands import run
from tests.support.servers import wait_for

WATCH = ("python", "-m", "flows.watch", "--posts", "incoming/posts.jsonl", "corpus")


def drop(folder: Path, first: int, count: int) -> None:
    """So many new posts into the watched folder."""
    (folder / "incoming").mkdir(exist_ok=True)
    with (folder / "incoming" / "posts.jsonl").open("a") as table:
        for i in range(first, first + count):
            (folder / "incoming" / f"{i}.jpg").write_bytes(photograph(i))
            table.write(json.dumps({"image": f"{i}.jpg", "hashtags": ["sea"], "user": "u"}) + "\n")


def pointer(folder: Path) -> str:
    return (folder / "data.dvc").read_text()


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A clone with a small sample, into which 60 posts have been imported already."""
    folder = clone(tmp_path_factory.mktemp("watching posts"), small=False)
    overlaid(folder, SMALL)
    edit(folder, "corpus", holdout=0.3)  # of so few posts, less would measure nothing
    sampled(folder, 60, (4, 2, 2))
    drop(folder, 0, 60)
    assert "new data: yes; stages that ran: 1" in run(folder, *WATCH)
    return folder


def test_new_posts_run_the_corpus_again_and_nothing_new_changes_nothing(project):
    before = pointer(project)
    told = run(project, *WATCH)
    assert "posts: 0 added, 60 there already" in told
    assert "new data: no; stages that ran: 0" in told and pointer(project) == before
    assert imports(project) == 1  # a night without news leaves no run in MLflow
    drop(project, 60, 3)
    import_only = (
        f"from flows.tools.watch import fresh; assert fresh({WATCH[4]!r}, None, None, 't')"
    )
    run(project, "python", "-c", import_only)
    assert pointer(project) != before and imports(project) == 2
    assert "changed deps" in run(project, "dvc", "status", "corpus")
    assert "new data: no; stages that ran: 1" in run(project, *WATCH)


def imports(folder: Path) -> int:
    """Runs of imports in the clone's MLflow store."""
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("tagdag").experiment_id
    return len(client.search_runs([experiment], "tags.`tagdag.command` = 'version add'"))


@pytest.fixture
def serving(project, guarded):
    """The import served every two seconds."""
    env = bare_environment() | {
        "PREFECT_HOME": str(guarded.home),
        "PREFECT_API_URL": f"{guarded.url}/api",
    }
    env["PREFECT_RUNNER_POLL_FREQUENCY"] = "1"  # seconds; by itself 10
    with (project / "log").open("wb") as log:
        command = [sys.executable, *WATCH[1:], "--every", "0.0333"]
        told = {"stdout": log, "stderr": log, "start_new_session": True}
        process = subprocess.Popen(command, cwd=project, env=env, **told)
    try:
        yield SimpleNamespace(process=process, log=project / "log")
    finally:
        # as Ctrl-C of a terminal: to the run in progress too, which Prefect otherwise waits for
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(300)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_the_schedule_itself_starts_runs_which_import_what_is_new(
    project, guarded, serving, browser
):
    """With sqlalchemy 2.1 Prefect 3.8's scheduler fails on every round, and no run comes."""
    drop(project, 70, 2)
    before = pointer(project)

    def ended() -> dict[str, list[dict]] | None:
        assert serving.process.poll() is None, serving.log.read_text()
        rows = [row for row in guarded.rows("flow_runs") if row["auto_scheduled"]]
        assert "FAILED" not in {row["state_type"] for row in rows}, serving.log.read_text()
        names = {row["state_name"] for row in rows}
        return rows if {"Completed", "Unchanged"} <= names else None

    rows = wait_for(ended, 480)
    assert all(row["deployment_id"] for row in rows) and pointer(project) != before
    assert guarded.auth not in serving.log.read_text()
    [ran] = [row["id"] for row in rows if row["state_name"] == "Completed"][:1]
    shown = {row["key"]: row["id"] for row in guarded.rows("artifacts")}
    below = {row["name"]: row["id"] for row in guarded.rows("flow_runs")}["pipeline"]
    with closing(prefect_page(browser, guarded.url, guarded.auth)) as page:
        see(page, f"{guarded.url}/runs/flow-run/{ran}", "auto-scheduled", "Completed")
        see(page, f"{guarded.url}/runs/flow-run/{below}?tab=Task%20Runs", "corpus")
        see(page, f"{guarded.url}/artifacts/artifact/{shown['corpus']}", "progress", "corpus")


def test_a_worker_runs_the_import_that_the_users_own_command_asks_for(project, guarded):
    """The pool's job template, which has no command, and the auth string, which nobody typed."""
    env = {"PREFECT_HOME": str(guarded.home)}
    work = ("python", "-m", "flows.prefectworker", "--run-once")
    run(project, *work, **env)
    ask = ("prefect", "--profile", "tagdag", "deployment", "run", "watch/tagdag-import")
    parameters = ("--param", "posts=incoming/posts.jsonl", "--param", 'targets=["corpus"]')
    run(project, *ask, *parameters, **env)
    told = run(project, *work, **env)
    rows = [row for row in guarded.rows("flow_runs") if row["work_pool_name"]]
    assert [row["state_name"] for row in rows if row["name"] == "watch"] == ["Unchanged"], told
    assert guarded.auth not in told


@pytest.mark.parametrize("minutes", ["0", "-1", "nan"])
def test_an_interval_that_is_none_is_refused(minutes):
    options = SimpleNamespace(cron=None, every=float(minutes))
    with pytest.raises(ValueError, match="above 0"):
        schedule.schedule_of(options)


def test_schedules_as_prefect_takes_them():
    assert schedule.schedule_of(SimpleNamespace(cron="0 3 * * *", every=None)) == {
        "cron": "0 3 * * *"
    }
    assert (
        schedule.schedule_of(SimpleNamespace(cron=None, every=0.5))["interval"].total_seconds()
        == 30
    )
    assert schedule.schedule_of(SimpleNamespace(cron=None, every=None)) == {}


def test_a_schedule_needs_a_server(monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    with pytest.raises(ValueError, match="make prefect"):
        schedule.serve_flow(None, "name", {"cron": "* * * * *"})


def test_a_folder_or_pattern_that_is_empty_is_no_fault_and_one_that_is_missing_is(tmp_path, s3):
    assert empty(str(tmp_path)) and empty(f"{tmp_path}/*.tar") and empty(f"s3://{s3.bucket}/new/")
    assert not empty(f"{tmp_path}/gone") and not empty(f"{tmp_path}/gone/*.tar")
    assert not empty(f"{tmp_path}/gone.csv") and not empty(f"s3://{s3.bucket}/new/posts.csv")
    (tmp_path / "a.tar").touch()
    s3.client.put_object(Bucket=s3.bucket, Key="new/a.tar", Body=b"")
    assert not empty(str(tmp_path)) and not empty(f"{tmp_path}/*.tar")
    assert not empty(f"s3://{s3.bucket}/new/") and not empty(f"s3://{s3.bucket}/new/*.tar")


def test_nothing_to_watch_is_told():
    with pytest.raises(ValueError, match="nothing to watch: give --posts"):
        fresh(None, None, None, "target")
