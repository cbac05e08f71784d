"""One MLflow run tree, the same for both drivers: pipeline > stage > trial or seed, every run tagged with its origin.

The pipeline run is found by its key (data version, git commit, params digest), so the stages of one `dvc repro`, which
are processes of their own, and those of the Prefect flow, which share one, come to stand under the same run; a run that
was killed is taken up again. An explicit TAGDAG_PIPELINE_RUN in the environment goes before the key.
"""

import functools
import json
import logging
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.digest import digest
from flows import pointer, settings
from flows.orchestrate import link, log, slug
from flows.sending import BRIEFLY, Sender, patience, patient
from flows.spool import Value

EXPERIMENT = "tagdag"


def uri() -> str:
    """MLFLOW_TRACKING_URI, or a SQLite file in the project's folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"


def web() -> str:
    """Where the MLflow UI is, or will be after `make mlflow`."""
    return uri().rstrip("/") if uri().startswith("http") else "http://127.0.0.1:5000"


@functools.cache
def connect() -> Any:
    """MLflow's client with the project's experiment chosen; ValueError when the server does not answer."""
    if uri().startswith("http"):
        try:
            urllib.request.urlopen(uri().rstrip("/") + "/health", timeout=5).close()
        except OSError as error:
            raise ValueError(
                "the MLflow server named by MLFLOW_TRACKING_URI does not answer "
                f"({getattr(error, 'reason', error)}): start it, or unset it to write to mlflow.db here"
            ) from error
    import mlflow

    logging.getLogger("alembic").setLevel(logging.WARNING)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    for name in ("mlflow.store.db.utils", "urllib3.connectionpool"):  # they tell each failing try, Outage once
        logging.getLogger(name).setLevel(logging.CRITICAL)
    mlflow.set_tracking_uri(uri())
    mlflow.set_experiment(EXPERIMENT)
    return mlflow.MlflowClient()


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def data_version() -> str:
    """DVC's md5 of data/, read from data.dvc; ValueError where that is damaged."""
    return pointer.md5() or "unversioned"


def origin() -> dict[str, str]:
    """The tags of every run and model version: data version, git commit (with +changes when dirty), params digest."""
    # dvc.lock changes with every stage that runs: it is a result, not an origin
    changed = "+changes" if _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!dvc.lock") else ""
    commit = (_git("rev-parse", "HEAD") or "none") + changed
    params = digest(settings.load())
    return {"tagdag.data": data_version(), "tagdag.commit": commit, "tagdag.params": params}


def flat(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as one level of dotted names, as MLflow takes them."""
    items: dict[str, Any] = {}
    for name, value in section.items():
        items |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return items


def _unfinished(client: Any, experiment: str, tags: dict[str, str], any_status: bool = False) -> str | None:
    """The latest run with these tags that did not end well (or, with any_status, at all)."""
    where = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
    where += [] if any_status else ["attributes.status != 'FINISHED'"]
    latest = {"max_results": 1, "order_by": ["attributes.start_time DESC"]}
    found = client.search_runs([experiment], " and ".join(where), **latest)
    return found[0].info.run_id if found else None


@patient
def _run_of(experiment: str, key: dict[str, str], tags: dict[str, str], name: str, any_status: bool = False) -> str:
    """Id of the latest run with the tags `key`, taken up again or made."""
    client = connect()
    found = _unfinished(client, experiment, key, any_status)
    return found or client.create_run(experiment, tags=tags | key, run_name=name).info.run_id


def pipeline_run(experiment: str, tags: dict[str, str]) -> str:
    """Id of the pipeline run that the present stage belongs to, made when there is none; `tags` are its origin."""
    if named := os.environ.get("TAGDAG_PIPELINE_RUN"):
        return named
    name = f"pipeline {tags['tagdag.commit'][:7]} {tags['tagdag.params'][:6]}"
    run = Run(_run_of(experiment, {"tagdag.pipeline": digest(tags)}, tags, name, any_status=True), experiment, tags)
    run.params(settings.load())
    return run.id


def _params(section: dict[str, Any]) -> list[Any]:
    from mlflow.entities import Param

    return [Param(name, str(value)) for name, value in flat(section).items()]


def _send(run: str, values: list[Value]) -> None:
    from mlflow.entities import Metric

    connect().log_batch(run, metrics=[Metric(*value) for value in values], synchronous=True)


@functools.cache
def sender() -> Sender:
    """What brings this process's metrics to MLflow."""
    return Sender(_send, settings.STATE / "metrics")


os.register_at_fork(after_in_child=sender.cache_clear)  # threads stay with the parent


@dataclass(frozen=True)
class Run:
    """A started run. `origin`: tags of the stage, and so of all below it.

    It may be handed to other processes of this machine; what they log arrives when they flush, or when the run ends.
    """

    id: str
    experiment: str
    origin: dict[str, str]

    @patient
    def params(self, section: dict[str, Any]) -> None:
        """Log a section, nested names dotted."""
        connect().log_batch(self.id, params=_params(section))

    def metrics(self, values: dict[str, float], step: int = 0) -> None:
        """Log metrics: returns in microseconds, and what MLflow does not take at present is kept and sent later."""
        now = int(time.time() * 1000)
        sender().put(self.id, [(key, float(value), now, step) for key, value in values.items()])

    def flush(self, seconds: float | None = None) -> bool:
        """Wait until MLflow has taken all metrics, `patience()` or these seconds at most; says whether it has."""
        return sender().flush(self.id, patience() if seconds is None else seconds)

    @patient
    def files(self, *paths: Path) -> None:
        """Log files and folders as artifacts."""
        for path in paths:
            (connect().log_artifacts if path.is_dir() else connect().log_artifact)(
                self.id, str(path), *([path.name] if path.is_dir() else [])
            )

    @patient
    def dataset(self, name: str, digest: str, source: str, profile: dict[str, Any], context: str) -> None:
        """Log a data set as an input of this run; `context`: "pretraining" or the like, `source`: a path or s3:// URL.

        MLflow keeps 36 characters of a digest, and source and profile of the first run with this name and digest.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        kind = "s3" if source.startswith("s3://") else "local"
        data = Dataset(name, digest[:36], kind, json.dumps({"uri": source}), profile=json.dumps(profile))
        connect().log_inputs(self.id, [DatasetInput(data, [InputTag("mlflow.data.context", context)])])

    @patient
    def tags(self, **values: str) -> None:
        """Tag the run."""
        for name, value in values.items():
            connect().set_tag(self.id, f"tagdag.{name}", value)

    def child(self, name: str) -> AbstractContextManager["Run"]:
        """A run below this one; one of the same name is taken up again, ended or not: its stage was cut short."""
        return _open(self, name, {}, any_status=True)


@patient
def _set_status(run_id: str, status: str) -> None:
    connect().update_run(run_id, status=status)


@contextmanager
def _status(run_id: str, name: str) -> Iterator[None]:
    """A run is RUNNING inside, then FINISHED, FAILED or KILLED; a server that is away by then costs a warning only."""
    _set_status(run_id, "RUNNING")
    try:
        yield
    except BaseException as error:
        # not a KeyboardInterrupt alone: Prefect and others stop a flow by exceptions of their own
        _end(run_id, name, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    _end(run_id, name, "FINISHED")


def _end(run_id: str, name: str, status: str) -> None:
    end = connect().set_terminated
    try:
        (patient(end) if status == "FINISHED" else end)(run_id, status)
    except Exception as error:
        log.warning("MLflow did not take the end of %s: %s", name, str(error)[:200])


@contextmanager
def _open(parent: Run, name: str, tags: dict[str, str], any_status: bool = False) -> Iterator[Run]:
    key = {"mlflow.parentRunId": parent.id, "tagdag.run": name}
    run_id = _run_of(parent.experiment, key, tags | parent.origin, name, any_status)
    run = Run(run_id, parent.experiment, parent.origin)
    sender().adopt(run_id)
    with _status(run_id, f"run {name}"):
        try:
            yield run
        except BaseException:
            if not run.flush(BRIEFLY):
                log.warning("metrics of run %s wait in %s: repeat the command to send them", name, sender().folder)
            raise
        if not run.flush():
            raise ValueError(
                f"MLflow took no more metrics for {patience():.0f} s, what is left is kept in {sender().folder}: "
                "start its server again, repeat the command, and it goes on"
            )


@contextmanager
def stage_run(stage: str, section: dict[str, Any]) -> Iterator[Run]:
    """The MLflow run of one stage, below the pipeline run, whose status follows the stage's."""
    experiment, tags = connect().get_experiment_by_name(EXPERIMENT).experiment_id, origin()
    parent = Run(pipeline_run(experiment, tags), experiment, tags)
    with _status(parent.id, "the pipeline run"), _open(parent, stage, {"tagdag.stage": stage}) as run:
        run.params(section)
        link(slug(f"mlflow {stage}"), f"{web()}/#/experiments/{experiment}/runs/{run.id}", f"MLflow run of {stage}")
        yield run
