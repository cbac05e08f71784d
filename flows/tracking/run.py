"""A run in MLflow: what is logged to it, how it ends, and how it is taken up again."""

import functools
import json
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.running import settings
from flows.running.orchestrate import log
from flows.running.retry import Away
from flows.tracking.address import home
from flows.tracking.mlflow_private import PARAM_CHANGED
from flows.tracking.outage import retry
from flows.tracking.refusals import allowed_name, flat_section, quotable_value
from flows.tracking.sending import BRIEFLY, Sender
from flows.tracking.spool import Value
from flows.tracking.store import connect

PARAMS, LONGEST = 100, 6000  # params that MLflow takes in one call, characters of one
ATTEMPTS = "tagdag.attempts"


def find_runs(experiment: str, tags: dict[str, str]) -> list[Any]:
    """The runs with these tags, the latest first."""
    where = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
    return list(connect().search_runs([experiment], where, order_by=["attributes.start_time DESC"]))


@retry
def find_or_create_run(
    experiment: str, key: dict[str, str], tags: dict[str, str], name: str
) -> str:
    """Id of the latest run with the tags `key`, taken up again, whatever its end, or made."""
    runs = find_runs(experiment, key)
    if not runs:
        return connect().create_run(experiment, tags=tags | key, run_name=name).info.run_id
    if "mlflow.parentRunId" in key:  # a pipeline run is taken up by every stage
        attempts = int(runs[0].data.tags.get(ATTEMPTS, 1)) + 1
        connect().set_tag(runs[0].info.run_id, ATTEMPTS, str(attempts))
    return runs[0].info.run_id


def _log_params(run: str, values: dict[str, str]) -> None:
    from mlflow.entities import Param

    params = [Param(name, value) for name, value in values.items()]
    for first in range(0, len(params), PARAMS):
        connect().log_batch(run, params=params[first : first + PARAMS])


def send_metrics(run: str, values: list[Value]) -> None:
    from mlflow.entities import Metric

    # synchronous whatever MLFLOW_ENABLE_ASYNC_LOGGING says: then MLflow drops a batch that fails
    connect().log_batch(run, metrics=[Metric(*value) for value in values], synchronous=True)


@functools.cache
def sender() -> Sender:
    """What brings this process's metrics to MLflow."""
    return Sender(send_metrics, home() / settings.STATE / "metrics")


os.register_at_fork(after_in_child=sender.cache_clear)  # threads stay with the parent


@dataclass(frozen=True)
class Run:
    """A started run.

    `origin`: tags of the stage, and so of all below it; `above`: the id of its pipeline's run.

    It may be handed to other processes of this machine; what they log arrives when they flush, or
    when the run ends. Its fields are plain values: a search keeps them as JSON.
    """

    id: str
    experiment: str
    origin: dict[str, str]
    above: str | None = None

    @property
    def pipeline(self) -> "Run | None":
        """The run of the whole pipeline; None for a run that belongs to none."""
        return Run(self.above, self.experiment, self.origin) if self.above else None

    @retry
    def params(self, section: dict[str, Any]) -> None:
        """Log a section, nested names dotted.

        Where a run that is taken up again has another value than before, that goes into the tag
        `tagdag.param.<name>`.
        """
        from mlflow.exceptions import MlflowException

        values = {
            allowed_name(name): str(value)[:LONGEST]
            for name, value in flat_section(section).items()
        }
        try:
            _log_params(self.id, values)
        except MlflowException as error:
            # MLflow keeps the first value of a param for ever, and its error has no code of its own
            if PARAM_CHANGED not in str(error):
                raise
            # params go in several calls: those before the refused one have logged theirs
            known = connect().get_run(self.id).data.params
            _log_params(self.id, {k: v for k, v in values.items() if k not in known})
            changed = {k: v for k, v in values.items() if known.get(k, v) != v}
            self.tags(**{f"param.{name}": value for name, value in changed.items()})

    def metrics(self, values: dict[str, float], step: int = 0) -> None:
        """Log metrics: returns in microseconds; what MLflow does not take is sent later."""
        # the time of the step: it may be sent minutes later, and again, which must not make two of
        # it
        now = int(time.time() * 1000)
        sender().put(
            self.id, [(allowed_name(key), float(value), now, step) for key, value in values.items()]
        )

    def flush(self, seconds: float | None = None) -> bool:
        """Wait until MLflow has taken all metrics, TAGDAG_MLFLOW_PATIENCE or these seconds at most.

        Says whether it has.
        """
        return sender().flush(self.id, retry.seconds if seconds is None else seconds)

    @retry
    def files(self, *paths: Path) -> None:
        """Log files and folders as artifacts."""
        for path in paths:
            if path.is_dir():
                connect().log_artifacts(self.id, str(path), path.name)
            else:
                connect().log_artifact(self.id, str(path))

    @retry
    def dataset(
        self, name: str, digest: str, source: str, profile: dict[str, Any], context: str
    ) -> None:
        """Log a data set as an input of this run.

        context: "pretraining" or the like. source: a path or s3:// URL; MLflow keeps source and
        profile of the first run with this name and digest.
        """
        from mlflow.entities import Dataset, DatasetInput, InputTag

        kind = "s3" if source.startswith("s3://") else "local"
        # MLflow keeps 36 characters of a digest
        data = Dataset(
            name, digest[:36], kind, json.dumps({"uri": source}), profile=json.dumps(profile)
        )
        connect().log_inputs(
            self.id, [DatasetInput(data, [InputTag("mlflow.data.context", context)])]
        )

    @retry
    def tags(self, **values: str) -> None:
        """Tag the run."""
        for name, value in values.items():
            connect().set_tag(self.id, allowed_name(f"tagdag.{name}"), value)

    def child(self, name: str) -> AbstractContextManager["Run"]:
        """A run below this one; one of the same name, whose stage was cut, is taken up again."""
        return open_child_run(self, name, self.above, {})


@retry
def set_status(run_id: str, status: str) -> None:
    connect().update_run(run_id, status=status)


@contextmanager
def _status(run_id: str, name: str) -> Iterator[None]:
    """A run is RUNNING inside, then FINISHED, FAILED or KILLED.

    A server that is away by then costs a warning only.
    """
    set_status(run_id, "RUNNING")
    try:
        yield
    except BaseException as error:
        # not a KeyboardInterrupt alone: Prefect and others stop a flow by exceptions of their own
        end_run(run_id, name, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    end_run(run_id, name, "FINISHED")


def end_run(run_id: str, name: str, status: str) -> None:
    terminate = connect().set_terminated
    if status == "FINISHED":  # an error or a signal must not wait for MLflow
        terminate = retry(terminate)
    try:
        terminate(run_id, status)
    except Exception as error:
        log.warning("MLflow did not take the end of %s: %s", name, str(error)[:200])


def wait_for_metrics(run: Run) -> None:
    """Away unless MLflow has taken all metrics of a run."""
    if not run.flush():
        raise Away(
            f"MLflow took no more metrics for {retry.seconds:.0f} s, what is left is kept in "
            f"{sender().folder}: start its server again, repeat the command, and it goes on"
        )


@contextmanager
def open_run(run: Run, name: str) -> Iterator[Run]:
    """A run that is open inside: its status follows, its metrics have arrived at the end."""
    sender().adopt(run.id)
    with _status(run.id, f"run {name}"):
        try:
            yield run
        except BaseException:
            if not run.flush(BRIEFLY):
                log.warning(
                    "metrics of run %s wait in %s: repeat the command to send them",
                    name,
                    sender().folder,
                )
            raise
        # FINISHED only with all its metrics: the stage fails else, and its repeat sends them
        wait_for_metrics(run)


@contextmanager
def open_child_run(
    parent: Run, name: str, above: str | None, tags: dict[str, str]
) -> Iterator[Run]:
    key = {"mlflow.parentRunId": parent.id, "tagdag.run": quotable_value(name)} | tags
    run_id = find_or_create_run(parent.experiment, key, parent.origin, name)
    with open_run(Run(run_id, parent.experiment, parent.origin, above), name) as run:
        yield run
