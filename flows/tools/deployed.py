"""The flows that prefect.yaml names, as a worker of a work pool imports them.

Their parameters have types from which Prefect's page makes its form, and by which its server
refuses a run before it begins: stages to choose from, ranges, descriptions.
"""

import inspect
import os
from typing import Annotated, Any, Literal

from pydantic import Field

from flows.pipeline import pipeline as plain_pipeline
from flows.running.orchestrate import flow
from flows.running.settings import EACH, STAGES, load_params
from flows.tools.watch import watch as plain_watch

MONTH = 30 * 24  # hours


def stage_names() -> tuple[str, ...]:
    """The stages of dvc.yaml, in their order."""
    params, names = load_params(), []
    for stage in STAGES:
        each = [f"{stage}@{name}" for name in params[EACH[stage]]] if stage in EACH else []
        # without a name: all of its trainings, or of its tasks
        if each or stage not in EACH:
            names += [stage, *each]
    return tuple(names)


Stage = Literal[stage_names()]
Hours = Annotated[float, Field(ge=0, le=MONTH)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]{0,63}$")]


def _approval(hours: float | None) -> None:
    # this process makes one run
    if hours is not None:
        os.environ["TAGDAG_APPROVAL"] = f"{hours:g}"


# Prefect reads the descriptions of parameters below "Args:" only
@flow(name="pipeline", flow_run_name="pipeline", validate_parameters=True)
def _pipeline(
    targets: list[Stage] = [],  # noqa: B006 - read only
    force: bool = False,
    approval_hours: Hours | None = None,
) -> list[str]:
    """Run the stages that changed, in the order of dvc.yaml.

    Args:
        targets: Stages to run, with all that they need; none: all stages.
        force: Run unchanged stages too.
        approval_hours: Hours to wait for a person's approval before the champion changes; 0: none
            is needed; left out: as TAGDAG_APPROVAL says where the worker was started.
    """
    _approval(approval_hours)
    return inspect.unwrap(plain_pipeline)(list(targets), force)


@flow(name="watch", flow_run_name="watch", validate_parameters=True)
def _watch(
    posts: str | None = None,
    labels: str | None = None,
    images: str | None = None,
    target: Name = "target",
    targets: list[Stage] = [],  # noqa: B006 - read only
    approval_hours: Hours | None = None,
) -> Any:
    """Import new posts and labelled images, then run the stages that changed.

    Args:
        posts: Posts: a table, a folder of tars, or s3://bucket/prefix/.
        labels: Labelled images: likewise.
        images: Folder or s3:// prefix of a table's images.
        target: Name of the labelled set.
        targets: Stages to run, with all that they need; none: all stages.
        approval_hours: Hours to wait for a person's approval before the champion changes; 0: none
            is needed; left out: as TAGDAG_APPROVAL says where the worker was started.
    """
    _approval(approval_hours)
    return inspect.unwrap(plain_watch)(posts, labels, images, target, list(targets))


pipeline = _pipeline.prefect()
watch = _watch.prefect()
