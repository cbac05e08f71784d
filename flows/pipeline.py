"""The whole DAG as one Prefect flow: dvc.yaml's stages, run by DVC's `reproduce` in this process.

DVC decides what has changed, removes, records and commits outputs exactly as `dvc repro` does; only
the command of a stage is replaced by a call of its flow, which makes it a sub-flow here. Afterwards
`dvc repro` has nothing to do, and the other way round. Without PREFECT_API_URL no server is started
and all of this is plain Python.

Read in this order:

- flows/running/dvc_private.py: how DVC is asked, and how it calls a stage here,
- flows/cli/command.py: a stage called with its section of params.yaml, and how a fault is told,
- flows/cli/validate.py: what may be wrong with params.yaml,
- flows/running/orchestrate.py: flows and tasks with and without a Prefect server,
- flows/tracking/tracking.py: the MLflow runs that a stage has.
"""

import argparse
import contextlib
import contextvars
import importlib
import re
import sys
from typing import Any

from flows.cli.command import program, run_stage, user_errors
from flows.cli.validate_once import validate_once
from flows.data import intact
from flows.registry.absent import missing_registry
from flows.running import deployments, dvc_private, runners, schedule, settings
from flows.running.dvc_locks import mend_locks
from flows.running.locks import alone
from flows.running.orchestrate import flow, orchestrated, task, without_heartbeat
from flows.tracking.address import HELP
from flows.tracking.again import stage_settings
from flows.tracking.missing import runs_page
from flows.tracking.news import told
from flows.training.beside import trained_ahead

ELSEWHERE = """TAGDAG_RUNNER=processes, dask or ray runs the shards of the corpus, the networks of
the search and the arms of the fine-tuning side by side, one for each core (or processes:4),
to the same bytes given the same threads each.
With a Prefect server (`make prefect`) whose address is in PREFECT_API_URL:
`make worker` deploys this flow to a work pool and works for it (prefect.yaml);
`python -m flows.watch` imports new posts from a folder, tars or s3:// first, and has --cron and
--every too."""
# stages that train, ask or time networks
ON_GPU = ("search", "pretrain", "finetune", "materialise", "evaluate")
COMMAND = re.compile(r"python -m flows\.([a-z]+)((?: [\w.-]+)*)")
# of the context, which Prefect takes along where it runs a task in another thread
_called: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("called", default=None)


def _run_here(stage: Any) -> bool:
    """Call a stage's flow where its command is one of ours; any other is left to DVC."""
    ours = COMMAND.fullmatch(stage.cmd) if isinstance(stage.cmd, str) else None
    called = _called.get()
    # a stage of a dvc.yaml further down runs in its own folder, and ours read paths of the
    # project's
    if called is None or ours is None or stage.wdir != stage.repo.root_dir:
        return False
    name, arguments = ours.groups()
    called.append(stage.addressing)
    print(f"\n[{stage.addressing}] {stage.cmd}", file=sys.stderr)
    with deployments.gpu_slot() if name in ON_GPU else contextlib.nullcontext():
        run_stage(getattr(importlib.import_module(f"flows.{name}"), name), *arguments.split())
    return True


def only_driver() -> contextlib.AbstractContextManager[None]:
    """One pipeline at a time in a working copy."""
    busy = "another pipeline runs in this folder: wait for its end, or work in another clone"
    return alone(settings.STATE / "pipeline.lock", busy)


@task(task_run_name="{name}", late=stage_settings)
def stage(name: str, force: bool = False) -> Any:
    """Reproduce one stage if it changed.

    In the Prefect UI an unchanged or restored one ends as `Unchanged`.
    """
    from dvc.exceptions import DvcException

    token = _called.set([])
    try:
        with dvc_private.repository() as repo:
            # else DVC says after each stage which files to `git add`
            repo.scm_context.quiet = True
            repo.reproduce(name, single_item=True, force=force)
        # `reproduce` answers alike where it has run a stage and where its run cache had the outputs
        ran = bool(_called.get())
    except DvcException as error:
        raise _cause(error) from error
    finally:
        _called.reset(token)
    if not ran and orchestrated():
        from prefect.states import Completed

        return Completed(name="Unchanged")
    return ran


def _cause(error: BaseException) -> BaseException:
    """The first exception of ours below DVC's own, else DVC's with its reasons in one line."""
    from dvc.exceptions import DvcException

    reasons = []
    while isinstance(error, DvcException) and error.__cause__ is not None:
        reasons.append(str(error))
        error = error.__cause__
    if isinstance(error, DvcException):
        return ValueError(": ".join([*reasons, str(error)]))
    return error


@flow
def pipeline(targets: list[str] | None = None, force: bool = False) -> list[str]:
    """Run the stages that changed, in order; returns the names of those that ran."""
    ran: list[str] = []
    with told("pipeline", ran):
        _run_changed(targets or [], force, ran)
    return ran


def _run_changed(targets: list[str], force: bool, ran: list[str]) -> None:
    """Run the stages that changed, each noted in `ran`."""
    runners.named_runner()  # refused before anything runs
    validate_once()
    with only_driver():
        intact.check_data()  # before DVC, which would bring data.dvc up to the damage
        dvc_private.run_in_process(_run_here)
        # not before the lock is ours: another pipeline may be writing the file
        mend_locks()
        names = dvc_private.execution_order(targets)
        with trained_ahead(names, force) as before:
            for name in names:
                before(name)
                if stage(name, force) is True:
                    ran.append(name)
                else:
                    print(f"[{name}] unchanged", file=sys.stderr)


def closing_summary() -> str:
    """The last report, with where the rest is to be found."""
    report = settings.OUT / "register" / "report.md"
    text = "no report yet: the register stage was not among the targets\n"
    if report.exists():
        text = report.read_text()
    lines = [f"{text}\nreport: {report.with_suffix('.html')} (and {report.name} beside it)"]
    runs = runs_page()
    if runs:
        lines.append(f"runs: {runs} (`make mlflow` serves them)")
    missing = missing_registry()
    if missing:
        lines.append(f"note: {missing}")
    return "\n".join(lines)


def main() -> None:
    """Command line of the pipeline."""
    # without the order of reading, which is for people with the code before them
    parser = argparse.ArgumentParser(
        prog=program("pipeline"),
        description=__doc__.partition("\n\nRead")[0].replace("\n\n", "\n"),
        epilog=f"{ELSEWHERE}\n\n{HELP}",
    )
    parser.add_argument("targets", nargs="*", help="stages, with what they need (default: all)")
    parser.add_argument("--force", action="store_true", help="run unchanged stages too")
    schedule.add_options(parser)
    options = parser.parse_args()
    with user_errors():
        when = schedule.schedule_of(options)
        if when:
            schedule.serve_flow(
                pipeline, "scheduled", when, targets=options.targets, force=options.force
            )
            return
        with without_heartbeat():
            pipeline(options.targets, options.force)
        print(closing_summary())


if __name__ == "__main__":
    # from the module by its name: what belongs to __main__ cannot be handed to other processes
    importlib.import_module("flows.pipeline").main()
