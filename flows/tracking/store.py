"""Whether MLflow can be reached: waited for where that may help, told at once where it does not."""

import functools
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from flows.running import sqlite
from flows.running.orchestrate import log
from flows.running.postgresql import check_release
from flows.tracking import artifacts, missing, moved
from flows.tracking.address import (
    HELP,
    printable_uri,
    sqlite_file,
    store_label,
    take_credentials,
    tracking_uri,
)
from flows.tracking.mlflow_private import (
    EXPERIMENTS,
    FILLED,
    KIND,
    OUTDATED,
    make_tables,
    quiet_loggers,
)
from flows.tracking.outage import Away, retry

EXPERIMENT = "tagdag"
ANSWER = 5  # seconds to wait for the first answer of a server or a data base
# PostgreSQL's words for what waiting does not mend
FINAL = ("authentication failed", "does not exist", "not known", "could not translate", "resolve")


def ask(path: str) -> Any:
    """A server's answer to a GET, asked as MLflow's own client would."""
    import requests

    name, word = (os.environ.get(f"MLFLOW_TRACKING_{part}") for part in ("USERNAME", "PASSWORD"))
    # as that one reads these, so that both reach the same server or neither does
    insecure = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
    verify = not insecure and os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH", True)
    auth = (name, word or "") if name else None
    return requests.get(f"{tracking_uri()}{path}", auth=auth, verify=verify, timeout=ANSWER)


def _server(address: str) -> None:
    import requests

    told = f"the MLflow server named by MLFLOW_TRACKING_URI does not answer ({address}: "
    fix = "start it, or unset it to write to mlflow.db here"
    try:
        answer = ask("/health")
    except requests.RequestException as error:
        cause = str(error).rpartition(": ")[2].strip("()'\"") or type(error).__name__
        # a certificate or a name that is wrong is so after any wait
        final = isinstance(error, requests.exceptions.SSLError) or "not known" in cause
        raise (ValueError if final else Away)(f"{told}{cause}): {fix}") from None
    if answer.status_code in (401, 403):
        raise refused_login(answer.status_code)
    if answer.status_code >= 500:
        raise Away(f"{told}it says {answer.status_code}): {fix}")
    _same_release(ask("/version"))


def _same_release(answer: Any) -> None:
    """ValueError for a server of another major release, a warning for an older one."""
    theirs, ours = answer.text.strip(), version("mlflow")
    # of a server behind a proxy that keeps it to itself
    if not answer.ok or not re.fullmatch(r"\d+\.\d+[\w.]*", theirs):
        return
    numbers = [tuple(map(int, each.split(".")[:2])) for each in (theirs, ours)]
    told = f"the MLflow server is of release {theirs}, here is {ours}"
    if numbers[0][0] != numbers[1][0]:
        raise ValueError(
            f"{told}: install the same on both, and after that `mlflow db upgrade` on its data base"
        )
    if numbers[0] < numbers[1]:
        log.warning("%s: update the server where something fails", told)


def refused_login(status: int) -> ValueError:
    """The error where a server takes no user, or not this one."""
    return ValueError(
        f"the MLflow server {printable_uri()} refuses the user or password ({status}): give both "
        "in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or as http://user:password@host"
    )


def _database(address: str) -> None:
    from sqlalchemy import create_engine, make_url, pool
    from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

    told = f"the data base named by MLFLOW_TRACKING_URI ({printable_uri()}) "
    try:
        if "@" in (make_url(address).host or ""):
            raise ValueError(f"{told}cannot be read: write an @ within the password as %40")
        # MLflow's own first call says nothing for 100 s where nobody answers
        options = {"connect_timeout": ANSWER}
        engine = create_engine(address, poolclass=pool.NullPool, connect_args=options)
        with engine.connect():
            release = engine.dialect.server_version_info
    except (ArgumentError, NoSuchModuleError, ImportError):
        raise ValueError(f"{told}is of no kind that is known here: {HELP}") from None
    except DBAPIError as error:
        cause = str(error.orig).strip().partition("\n")[0][:200]
        final = any(word in cause for word in FINAL)
        fix = "see that it is the right one" if final else "start it"
        message = f"{told}does not answer ({cause}): {fix}, or unset it to write to mlflow.db here"
        raise (ValueError if final else Away)(message) from None
    if engine.dialect.name == "postgresql":
        check_release(release, "MLFLOW_TRACKING_URI")


def _unfinished(file: Path) -> bool:
    """Whether MLflow, killed as it made its tables, left a file in which nothing ever was."""
    if not file.exists():
        return False
    names = {name for (name,) in sqlite.query_rows(file, "SELECT name FROM sqlite_master")}
    # with other tables only it is another program's, beside which MLflow makes its own
    if names and EXPERIMENTS not in names:
        return False
    found = names.intersection(FILLED)
    return not any(sqlite.query_rows(file, f"SELECT 1 FROM {name} LIMIT 1") for name in found)


def _file(file: Path) -> None:
    try:
        if file.exists():
            sqlite.check_readable(file, "MLflow's data base")
        aside = sqlite.put_aside_unfinished(file, _unfinished)
        if aside:
            told = "%s was left unfinished by a process that was killed, and is empty: now %s"
            log.warning(told, file.name, aside.name)
        elif not file.exists():
            missing.warn_if_deleted(file)
        quiet_loggers()
        sqlite.create_whole(file, functools.partial(make_tables, artifacts=file.parent / "mlruns"))
        message = moved.move_places(file, EXPERIMENT)
        if message:
            log.warning(message)
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise ValueError(
                f"{file}: {error}: make it readable and writable, or move it"
            ) from None
        raise Away(
            f"another program holds {file} locked: see what has it open (fuser {file.name}), "
            "end that, and run the command again"
        ) from None


@retry
def reach_store() -> None:
    """ValueError, with cause and fix, unless MLflow can be reached; what may pass is waited out."""
    take_credentials()
    file = sqlite_file()
    if file:
        _file(file)
    elif tracking_uri().startswith("http"):
        _server(tracking_uri())
    elif "://" in tracking_uri() and not tracking_uri().startswith(("file:", "databricks")):
        _database(tracking_uri())


@contextmanager
def explained() -> Iterator[None]:
    """MLflow's own errors at the first calls, told with cause and fix."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.get_http_status_code() in (401, 403):
            raise refused_login(error.get_http_status_code()) from None
        if OUTDATED in str(error):
            raise ValueError(
                f"{printable_uri()} was made by another version of MLflow: copy it, then run "
                f"`mlflow db upgrade {printable_uri()}`; if it is newer, take the MLflow that "
                "made it"
            ) from None
        raise


def _create(client: Any, place: str | None) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_experiment(EXPERIMENT, place)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another process was faster
            raise


@retry
def _experiment(client: Any) -> Any:
    """The project's experiment, made if there is none."""
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        # beside the file, which may not be this folder: an experiment of DVC has one that is
        # removed
        place = str(sqlite_file().parent / "mlruns" / EXPERIMENT) if sqlite_file() else None
        _create(client, artifacts.place() or place)
        found = client.get_experiment_by_name(EXPERIMENT)
    artifacts.warn_of_other(found.artifact_location)
    wanted = {KIND: "custom_model_development"}
    wanted |= {moved.TAG: str(sqlite_file().resolve().parent)} if sqlite_file() else {}
    for name in wanted.keys() - found.tags.keys():
        client.set_experiment_tag(found.experiment_id, name, wanted[name])
    return found


@functools.cache
def connect() -> Any:
    """MLflow's client, the project's experiment chosen.

    ValueError, with the way out, without it.
    """
    reach_store()
    retry(artifacts.check_place)()
    import mlflow

    # after the import, which sets the levels of MLflow's loggers
    quiet_loggers()
    mlflow.set_tracking_uri(tracking_uri())
    with explained():
        client = retry(mlflow.MlflowClient)()
        found = _experiment(client)
        mlflow.set_experiment(EXPERIMENT)
    missing.remember_store(store_label(), found.creation_time, found.experiment_id)
    return client
