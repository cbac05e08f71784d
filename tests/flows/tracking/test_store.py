"""Where MLflow is and what may be wrong with it: half made, damaged, deleted, moved, locked,
away.
"""

import os
import shutil
import signal
import sqlite3
import time
from base64 import b64encode
from pathlib import Path
from threading import Timer

import psycopg
import pytest

from benchmarks.services import free_port
from benchmarks.tracking import Lock, Server
from flows.registry import absent
from flows.running import settings, sqlite
from flows.tracking import address, missing, store, tracking
from tests.support.faults import proxy


@pytest.fixture
def patience(monkeypatch):
    """`patience(seconds)` to wait for MLflow."""
    return lambda seconds: monkeypatch.setenv("TAGDAG_MLFLOW_PATIENCE", str(seconds))


def killed(call, moment) -> None:
    """kill -9 of a process that makes a call, as soon as `moment()` is true."""
    child = os.fork()
    if not child:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        call()
        time.sleep(60)
    while not moment():
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def logged() -> str:
    """A run with an artifact; its id."""
    Path("file.txt").write_text("weights")
    with tracking.stage_run("corpus", {"size": 1}) as run:
        run.files(Path("file.txt"))
    return run.id


def fresh() -> None:
    """As in another process: MLflow keeps connections to files that may be gone."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    tracking.connect.cache_clear()
    for engine in SqlAlchemyStore._engine_map.values():
        engine.dispose()


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_kill_while_the_store_is_made_leaves_none(place, monkeypatch, empty_store, share):
    file = place / "new.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")
    partial, size = place / "new.db.partial", share * empty_store.stat().st_size
    killed(store.reach_store, lambda: partial.exists() and partial.stat().st_size > size)
    assert not file.exists() and (place / "new.db.partial").exists()
    copied = []

    def copy(partial: Path, artifacts: Path) -> None:
        copied.append(shutil.copyfile(empty_store, partial))

    monkeypatch.setattr(store, "make_tables", copy)
    logged()
    assert len(copied) == 1 and not list(place.glob("new.db?*"))


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_store_that_another_program_left_unfinished_is_put_aside(
    place, monkeypatch, caplog, empty_store, share
):
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    file = place / "half.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}")

    def tables(file: Path) -> int:  # that are committed: a file with bytes may have none yet
        return (
            len(sqlite.query_rows(file, "SELECT 1 FROM sqlite_master", wait=60))
            if file.exists()
            else 0
        )

    whole = tables(empty_store)
    killed(
        lambda: SqlAlchemyStore(f"sqlite:///{file}", "mlruns"), lambda: tables(file) > share * whole
    )
    assert 0 < tables(file) < whole
    monkeypatch.setattr(sqlite, "QUIET", 0.1)
    monkeypatch.setattr(
        store, "make_tables", lambda partial, artifacts: shutil.copyfile(empty_store, partial)
    )
    time.sleep(0.1)
    logged()
    assert "half.db was left unfinished by a process that was killed" in caplog.text
    assert (place / "half.db.unfinished").exists() and not (place / "half.db-journal").exists()


def test_two_processes_make_a_file_once(tmp_path):
    file, calls = tmp_path / "one.db", tmp_path / "calls"

    def make(partial: Path) -> None:
        with calls.open("a") as out:
            out.write("made\n")
        time.sleep(0.3)
        partial.write_text("whole")

    def both() -> None:
        sqlite.create_whole(file, make)
        os._exit(0)

    children = []
    for _ in range(2):
        children.append(os.fork())
        if not children[-1]:
            both()
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert calls.read_text() == "made\n" and file.read_text() == "whole"


@pytest.mark.parametrize("kind", ["garbage", "cut", "folder"])
def test_damage_is_told_at_once_and_nothing_is_touched(place, patience, kind):
    logged()
    fresh()
    file, whole = place / "mlflow.db", (place / "mlflow.db").read_bytes()
    file.unlink()
    if kind == "folder":
        file.mkdir()
    else:
        file.write_bytes(os.urandom(8192) if kind == "garbage" else whole[: len(whole) // 2])
    before, began = None if kind == "folder" else file.read_bytes(), time.monotonic()
    with pytest.raises(ValueError, match=r"mlflow\.db.* (is damaged|is a folder).*move it aside"):
        logged()
    assert time.monotonic() - began < 3 and (kind == "folder" or file.read_bytes() == before)


def test_damage_within_is_told_when_it_is_met(place, patience):
    patience(5)
    logged()
    with sqlite3.connect("mlflow.db") as base:
        [page] = base.execute("SELECT rootpage FROM sqlite_master WHERE name = 'runs'").fetchone()
        [size] = base.execute("PRAGMA page_size").fetchone()
    with Path("mlflow.db").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(os.urandom(size))
    fresh()
    with pytest.raises(ValueError, match=r"MLflow's data base is damaged .SQLite says: malformed"):
        logged()


def test_a_store_of_another_mlflow_is_told(place, patience):
    with sqlite3.connect("mlflow.db") as base:
        base.execute("UPDATE alembic_version SET version_num = 'ffff'")
    with pytest.raises(ValueError, match=r"made by another version of MLflow: .*mlflow db upgrade"):
        logged()


def test_a_store_that_is_locked_is_waited_for_aloud(place, patience, caplog):
    patience(20)
    lock = Lock(place / "mlflow.db")
    lock.take()
    Timer(1.5, lock.release).start()
    logged()
    assert "holds" in caplog.text and "waiting 20 s at most for it" in caplog.text
    assert "takes everything again" in caplog.text
    fresh()
    patience(1)
    lock.take()
    with pytest.raises(ValueError, match=r"another program holds .*mlflow\.db locked"):
        logged()
    lock.release()


def test_a_data_base_that_nobody_serves_is_told_in_seconds(place, patience, monkeypatch, caplog):
    patience(2)
    named = f"postgresql://anna:se%40cret@127.0.0.1:{free_port()}/base?password=hidden"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", named)
    began = time.monotonic()
    with pytest.raises(
        ValueError, match=r"does not answer .*refused.*start it, or unset it"
    ) as error:
        logged()
    assert time.monotonic() - began < 6 and "waiting 2 s at most" in caplog.text
    for secret in ("cret", "hidden", "anna"):
        assert secret not in str(error.value) + caplog.text
    monkeypatch.setenv("MLFLOW_TRACKING_URI", named.replace("%40", "@"))
    with pytest.raises(ValueError, match="write an @ within the password as %40") as error:
        logged()
    assert "cret" not in str(error.value)


def test_postgresql_holds_the_runs_and_a_wrong_base_is_not_waited_for(
    place, postgres_server, monkeypatch
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres_server.url + "none")
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"does not exist.*see that it is the right one"):
        logged()
    assert time.monotonic() - began < 5
    with psycopg.connect(postgres_server.url, autocommit=True) as base:
        base.execute("CREATE DATABASE runs")  # its own: Optuna has a table alembic_version too
    monkeypatch.setenv("MLFLOW_TRACKING_URI", postgres_server.url.removesuffix("tagdag") + "runs")
    run = logged()
    fresh()
    assert tracking.connect().get_run(run).info.status == "FINISHED"


def test_a_server_that_wants_a_password_gets_it_and_nobody_else_does(
    place, patience, monkeypatch, caplog, capfd
):
    patience(1)
    (place / "server").mkdir()
    server = Server(place / "server")
    server.start()
    right, secret = "Basic " + b64encode(b"anna:p@ss wort").decode(), "p%40ss%20wort"
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "")  # so that it is put back
    try:
        with proxy(server.url) as front:
            handle = front.handle

            def guarded(handler) -> None:
                if handler.headers.get("Authorization") == right:
                    handle(handler)
                else:
                    handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
                    front.send(handler, 401, [("Content-Length", "0")], b"")

            front.handle = guarded
            host = front.endpoint.removeprefix("http://")
            for wrong in (f"http://{host}", f"http://anna:wrong-word@{host}"):
                monkeypatch.setenv("MLFLOW_TRACKING_URI", wrong)
                with pytest.raises(ValueError, match="refuses the user or password") as error:
                    logged()
                assert "wrong-word" not in str(error.value)
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://anna:{secret}@{host}")
            run = logged()
            assert tracking.connect().get_run(run).info.status == "FINISHED"
            assert (
                address.ui_address() == f"http://{host}"
                and address.printable_uri() == f"http://{host}"
            )
            server.kill()
            fresh()
            with pytest.raises(ValueError, match="does not answer"):
                logged()
    finally:
        server.kill()
    told = caplog.text + "".join(capfd.readouterr())
    assert (
        "wort" not in told
        and (place / settings.STATE / "store.json").read_text().count("wort") == 0
    )


def test_a_password_given_apart_is_as_good(place, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000/")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "anna")
    address.take_credentials()
    assert (
        os.environ["MLFLOW_TRACKING_USERNAME"] == "anna"
        and address.tracking_uri() == "http://host:5000"
    )


@pytest.mark.parametrize("gone", [True, False])
@pytest.mark.parametrize("noted", [True, False])
def test_artifacts_follow_a_folder_that_moves(place, monkeypatch, caplog, empty_store, gone, noted):
    old, new = place / "old place", place / "new"
    old.mkdir()
    for name in ("params.yaml", "mlflow.db"):
        shutil.copyfile(place / name, old / name)
    monkeypatch.chdir(old)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    first = logged()
    client = tracking.connect()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")  # MLflow has put its own there
    import mlflow

    model = mlflow.initialize_logged_model(name="m", source_run_id=first)
    client.log_model_artifact(model.model_id, "file.txt")
    mlflow.finalize_logged_model(model.model_id, "READY")
    client.create_registered_model("tagdag")
    client.create_model_version("tagdag", f"models:/{model.model_id}", first)
    client.set_registered_model_alias("tagdag", "champion", "1")
    if not noted:  # a store of an earlier version of this project
        with sqlite3.connect("mlflow.db") as base:
            base.execute("DELETE FROM experiment_tags")
            for table, column in (
                ("experiments", "artifact_location"),
                ("runs", "artifact_uri"),
                ("logged_models", "artifact_location"),
                ("model_versions", "storage_location"),
            ):
                base.execute(f"UPDATE {table} SET {column} = replace({column}, 'tagdag', '1')")
        Path("mlruns/tagdag").rename("mlruns/1")
    (old.rename if gone else lambda new: shutil.copytree(old, new))(new)
    monkeypatch.chdir(new)
    fresh()
    second = logged()
    assert f"mlflow.db has moved from {old}" in caplog.text
    client = tracking.connect()
    for run in {first, second}:
        assert client.get_run(run).info.artifact_uri.startswith(f"{new}/mlruns/")
        assert [file.path for file in client.list_artifacts(run)] == ["file.txt"]
    got = mlflow.artifacts.download_artifacts(
        "models:/tagdag@champion", dst_path=str(place / "got")
    )
    assert (Path(got) / "file.txt").read_text() == "weights"
    assert client.get_experiment("0").artifact_location
    assert str(old) not in "".join(base_text(new / "mlflow.db"))
    caplog.clear()
    fresh()
    logged()
    assert "moved" not in caplog.text


def base_text(file: Path) -> list[str]:
    """All places of artifacts."""
    from flows.tracking.moved import PLACES

    return [
        str(value)
        for table, column in PLACES
        for (value,) in sqlite.query_rows(file, f"SELECT {column} FROM {table}")
    ]


def test_a_file_that_moves_without_its_artifacts_keeps_their_places(place, monkeypatch):
    run = logged()
    (place / "apart").mkdir()
    (place / "mlflow.db").rename(place / "apart" / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{place}/apart/mlflow.db")
    fresh()
    assert [file.path for file in tracking.connect().list_artifacts(run)] == ["file.txt"]


def test_a_store_that_was_deleted_or_exchanged_is_told(place, caplog, empty_store, monkeypatch):
    monkeypatch.setattr(
        store, "make_tables", lambda partial, artifacts: shutil.copyfile(empty_store, partial)
    )
    logged()
    assert not caplog.records
    Path("mlflow.db").unlink()
    fresh()
    logged()
    assert (
        "mlflow.db is gone, and with it all runs, registered versions and the champion"
        in caplog.text
    )
    caplog.clear()
    fresh()
    logged()
    assert not caplog.records


def test_a_report_without_its_registry_is_told(place):
    assert absent.missing_registry() is None
    report = settings.OUT / "register" / "report.md"
    report.parent.mkdir(parents=True)
    report.write_text("champion is version 3")
    Path("mlflow.db").rename("kept.db")
    told = absent.missing_registry()
    assert (
        "'tagdag'" in told
        and "set MLFLOW_TRACKING_URI" in told
        and "dvc repro --single-item" in told
    )
    Path("kept.db").rename("mlflow.db")
    client = tracking.connect()
    assert "does not have" in absent.missing_registry()
    client.create_registered_model("tagdag")
    client.create_model_version("tagdag", str(place / "mlruns"))
    assert absent.missing_registry() is None
    experiment = client.get_experiment_by_name("tagdag").experiment_id
    assert missing.runs_page() == f"http://127.0.0.1:5000/#/experiments/{experiment}/runs"


def test_an_experiment_that_dvc_runs_apart_logs_to_the_project(place, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    params = Path("params.yaml").read_text()
    apart = place / ".dvc" / "tmp" / "exps" / "standalone" / "tmp1"
    apart.mkdir(parents=True)
    (apart / "params.yaml").write_text(params)
    monkeypatch.chdir(apart)
    monkeypatch.setenv("DVC_EXP_NAME", "puffy-quail")
    run = logged()
    assert not list(apart.glob("ml*")) and not (apart / settings.STATE).exists()
    assert (place / "mlruns").is_dir()
    monkeypatch.chdir(place)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    fresh()
    found = tracking.connect().get_run(run)
    assert found.data.tags["tagdag.experiment"] == "puffy-quail"
