"""One MLflow run tree for both drivers: pipeline > stage > trial or seed, tagged with its origin.

The pipeline run is found by its key (data version, git commit and changes, params digest), so the
stages of one `dvc repro`, which are processes of their own, and those of the Prefect flow, which
share one, come to stand under the same run; a run that was killed is taken up again, and so is one
whose stage is run once more. An explicit TAGDAG_PIPELINE_RUN in the environment goes before the
key.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from engine.core.digest import digest
from engine.core.environment import value
from flows.running import settings
from flows.running.artifacts import link_artifact
from flows.running.orchestrate import slug
from flows.tracking.address import runs_address
from flows.tracking.origin import data_version, origin, run_title
from flows.tracking.outage import retry
from flows.tracking.run import (
    Run,
    end_run,
    find_or_create_run,
    find_runs,
    open_child_run,
    open_run,
    sender,
    set_status,
    wait_for_metrics,
)
from flows.tracking.store import EXPERIMENT, connect

__all__ = [
    "EXPERIMENT",
    "Run",
    "connect",
    "data_version",
    "origin",
    "sender",
    "single_run",
    "stage_run",
]


def pipeline_run(experiment: str, tags: dict[str, str]) -> "Run":
    """The pipeline run of the present stage, made when there is none; `tags`: its origin."""
    named = value("TAGDAG_PIPELINE_RUN")
    if named:
        return Run(named, experiment, tags)
    key = {"tagdag.pipeline": digest(tags)}
    run = Run(find_or_create_run(experiment, key, tags, run_title(tags)), experiment, tags)
    run.params(settings.load_params())
    return run


@retry
def _outcome(pipeline: Run) -> str:
    """The status of a pipeline run by the last run of each stage: none that failed is lost."""
    last: dict[str, str] = {}
    for run in find_runs(pipeline.experiment, {"mlflow.parentRunId": pipeline.id}):
        # the runs come latest first
        last.setdefault(run.data.tags.get("tagdag.run", run.info.run_id), run.info.status)
    order = ("FAILED", "KILLED", "RUNNING")
    return next((status for status in order if status in last.values()), "FINISHED")


@contextmanager
def _pipeline(run: Run) -> Iterator[None]:
    """The pipeline run is RUNNING inside; at the end it is what its stages have come to."""
    set_status(run.id, "RUNNING")
    try:
        yield
        wait_for_metrics(run)
    except BaseException as error:
        end_run(run.id, "the pipeline run", "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    # of all stages, not of this one: one that failed earlier has still failed
    status = _outcome(run)
    if status != "RUNNING":  # another stage runs beside this one
        end_run(run.id, "the pipeline run", status)


def _experiment() -> str:
    return connect().get_experiment_by_name(EXPERIMENT).experiment_id


@contextmanager
def stage_run(stage: str, section: dict[str, Any]) -> Iterator[Run]:
    """The MLflow run of one stage, below the pipeline run, whose status follows that of its stages.

    A stage that is run again with the same section, after a kill or by --force, goes on in its run:
    the tag `tagdag.attempts` counts.
    """
    experiment, tags = _experiment(), origin()
    parent = pipeline_run(experiment, tags)
    key = {"tagdag.stage": stage, "tagdag.section": digest(section)}
    with _pipeline(parent), open_child_run(parent, stage, parent.id, key) as run:
        run.params(section)
        link_artifact(
            slug(f"mlflow {stage}"), runs_address(experiment, run.id), f"MLflow run of {stage}"
        )
        yield run


@retry
def _created(experiment: str, tags: dict[str, str], name: str) -> str:
    return connect().create_run(experiment, tags=tags, run_name=name).info.run_id


@contextmanager
def single_run(command: str, about: str, section: dict[str, Any]) -> Iterator[Run]:
    """A new run below no pipeline, "command: about", of what is no stage, as an import."""
    experiment, tags = _experiment(), origin() | {"tagdag.command": command}
    name = f"{command}: {about}"
    with open_run(Run(_created(experiment, tags, name), experiment, tags), name) as run:
        run.params(section)
        yield run
