"""One network of a search: measured, trained briefly, its end told by name whatever it is."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial
from torch import nn

from corpus.progress import Progress
from engine.core.allocator import OutOfMemory, memory_reason, out_of_memory
from engine.core.build import build
from engine.core.device import device
from engine.measure.complexity import measure
from engine.measure.profile import profile_network
from engine.training.distributed import ALONE
from engine.training.launching import WorkersDied
from engine.training.meter import Diverged
from engine.training.schedule import Schedule, Training
from flows.running import settings
from flows.running.orchestrate import task
from flows.searching import deaths
from flows.searching.storage import retry
from flows.searching.study import Ended, outcome
from flows.tracking.tracking import Run
from flows.training.learning import (
    Job,
    fit_network,
    image_count,
    list_drawer,
    measured,
)
from flows.training.threads import training_workers

PATIENCE = 2.0  # seconds for which a latency is measured until quiet repeats agree
OBJECTIVES = ("error", "error_top5", "params", "flops", "acts", "latency_ms")  # all minimised
HALVINGS = 3  # of the images in a forward pass, when memory is short
Row = dict[str, Any]  # of trials.jsonl


def errors(module: nn.Module, section: dict[str, Any]) -> dict[str, float]:
    """Errors on held-out images in percent."""
    rates = measured(module, section)
    return {"error": 100 - rates["top1"], "error_top5": 100 - rates["top5"]}


def _held_out_errors(module: nn.Module, section: dict[str, Any]) -> dict[str, float]:
    """The same; Ended where memory runs out: predictions go in parts as small as one image, so to
    train the network again with fewer images in a pass would not help.
    """
    try:
        return errors(module, section)
    except OutOfMemory as error:
        raise Ended("out of memory", f"while it was measured: {error}") from None


def costs_of(network: dict[str, Any], space: Any) -> dict[str, int]:
    """params, flops and acts of a backbone."""
    if space.contains(network):
        return space.cost(network)
    backbone = build("backbones", network, where="search.reference")
    return measure(backbone, (3, space.resolution, space.resolution))


def latency(network: dict[str, Any], section: dict[str, Any], size: int) -> Row:
    """Latency of one image on this device, where the search asks for it.

    `latency_busy` where other work had the machine: the latency may be less than that, so the
    network is on no Pareto front.
    """
    if not section["latency_ms"] and "latency_ms" not in section["objectives"]:
        return {}
    module = build("backbones", network, where="search.network")
    about = {"training": False, "patience": PATIENCE}
    try:
        found = profile_network(module, size, device(), (1,), **about)
    except OutOfMemory as error:
        raise Ended("out of memory", str(error)) from None
    row = {"latency_ms": found["latency_p50_ms"]}
    if found["busy"]:
        row["latency_busy"] = found["busy"]
    return row


def _check_band(row: Row, band: tuple[float, float] | None) -> None:
    """Ended if the latency is out of band."""
    if band and not band[0] <= row["latency_ms"] <= band[1]:
        raise Ended(
            "out of band", f"latency {row['latency_ms']:.2f} ms is not in {band[0]} to {band[1]} ms"
        )


class EpochReports:
    """Reports a trial's error after each epoch, and prunes it: where an attempt at the same slot
    was cut short, from where that left off.

    curve: errors in percent on held-out images, by epoch.
    """

    def __init__(self, trial: Trial, section: dict[str, Any]) -> None:
        self.trial, self.section = trial, section
        self.curve: dict[int, float] = {}
        if training_workers() > 1:
            raise ValueError(
                "search.pruner: it cannot end a training by several processes: set TAGDAG_WORKERS=1"
            )
        slot = trial.user_attrs["slot"]
        for one in trial.study.get_trials(deepcopy=False):
            if one.user_attrs.get("slot") == slot and one.number < trial.number:
                self.curve |= one.intermediate_values
        for epoch, error in self.curve.items():
            trial.report(error, epoch)

    def __call__(self, epoch: int, module: nn.Module) -> None:
        self.curve[epoch] = _held_out_errors(module, self.section)["error"]
        retry(self.trial.report)(self.curve[epoch], epoch)
        if retry(self.trial.should_prune)():
            raise optuna.TrialPruned


def images_in_a_pass(section: dict[str, Any]) -> int:
    """Images of a forward pass that the recipe asks for: of a micro-batch, or of a worker's part
    of a batch.
    """
    job = Job.of(section)
    training = Training(job.recipe, job.epochs, job.seed)
    # not more than there are images
    recipe = Schedule.of(training, list_drawer(job, job.samples()), ALONE).recipe
    return recipe.micro or -(-recipe.batch // training_workers())


def _fit_in_memory(
    name: str,
    section: dict[str, Any],
    folder: Path,
    run: Run,
    show: Progress,
    reports: Callable[..., None] | None,
) -> tuple[nn.Module, dict[str, int]]:
    """section["backbone"] after its training, and {"micro": images in a pass} if memory asked
    for fewer.
    """
    kills = deaths.kills_for_memory()
    for halving in range(HALVINGS + 1):
        micro = {"micro": max(1, images_in_a_pass(section) >> halving)} if halving else {}
        part = section | {"recipe": section["recipe"] | micro}
        # a folder of its own: a state of larger passes is none of smaller ones
        states = folder / f"{halving}"
        try:
            return fit_network(part, states, run, f"search {name}", show, reports)[0], micro
        except Diverged as error:
            raise Ended("diverged", str(error)) from None
        except WorkersDied as error:  # one of several workers
            fault = deaths.own_fault(error.exitcode) or deaths.since(kills)
            if not fault:  # killed from outside: the search ends, and goes on from here
                raise
            raise Ended("killed its worker", f"{error}: it {fault}") from None
        except (RuntimeError, MemoryError, OutOfMemory) as error:
            if not isinstance(error, OutOfMemory) and not out_of_memory(error):
                raise
            reason = memory_reason(error)
    raise Ended("out of memory", f"also with {micro['micro']} images in a pass: {reason}")


@task(task_run_name="{name}")
def trained(
    name: str,
    section: dict[str, Any],
    folder: Path,
    run: Run,
    show: Progress,
    reports: Callable[..., None] | None,
) -> dict[str, float]:
    """Errors of section["backbone"] after its training.

    With `micro` images in a pass, if memory asked for that.
    """
    module, micro = _fit_in_memory(name, section, folder, run, show, reports)
    return _held_out_errors(module, section) | micro


def run_trial(
    trial: Trial, key: str, name: str, section: dict[str, Any], space: Any, run: Run, show: Progress
) -> Row:
    """Measure and train section["backbone"], in a child of the run; its row of trials.jsonl.

    The trial keeps the row whatever the end. key: of the search. space: what counts its members
    without building them, and has the pixels to count at. Raises Ended and TrialPruned.
    """
    folder = settings.state_path(
        "search", key, section["backbone"], section["epochs"], section["seed"]
    )
    began, note = time.monotonic(), retry(trial.set_user_attr)
    # the last step that was saved: workers that die here one after the other, and get no further,
    # die of the network
    note("at", max((int(file.stem) for file in folder.glob("*/*.safetensors")), default=-1))
    prunes = not isinstance(trial.study.pruner, optuna.pruners.NopPruner)
    reports = EpochReports(trial, section) if prunes else None
    row: Row = {"network": section["backbone"]} | costs_of(section["backbone"], space)
    note("run", run.id)
    with run.child(name) as child:
        try:
            row |= latency(section["backbone"], section, space.resolution)
            _check_band(row, section["latency_ms"])
            row |= trained(name, section, folder, child, show, reports)
            row["images"] = image_count(section, section["epochs"])
        except optuna.TrialPruned:
            epoch, error = max(reports.curve.items())
            row |= {"images": image_count(section, epoch), "error": error}
            raise
        except Ended as ended:
            child.tags(outcome=ended.outcome, reason=ended.reason[:500])
            raise
        finally:
            row["seconds"] = time.monotonic() - began
            row["curve"] = sorted(reports.curve.items()) if reports else []
            log_row(child, row)
            note("row", row)
    return row


def log_row(run: Run, row: Row) -> None:
    """What a network is, what it came to, and its error after each epoch."""
    run.params(row["network"])
    run.metrics({key: value for key, value in row.items() if isinstance(value, int | float)})
    for epoch, error in row["curve"]:
        run.metrics({"error_held_out": error}, epoch)


def row_of(trial: FrozenTrial) -> Row:
    """What a trial came to: outcome, errors in percent, costs, values of the axes, network,
    [epoch, error] pairs.
    """
    row = {"outcome": outcome(trial), "error": None, "error_top5": None}
    row |= trial.user_attrs.get("row", {})
    if "reason" in trial.user_attrs:
        row["reason"] = trial.user_attrs["reason"]
    return row | {"values": trial.params}
