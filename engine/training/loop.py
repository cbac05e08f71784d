"""Training and prediction loops.

The loop knows nothing of a task: `loss = objective(batch)["loss"]`.
"""

import time
from collections.abc import Iterator
from signal import Signals
from typing import Any

import torch
from torch import Tensor, nn

from corpus.reading.sampler import Lists, seeded
from engine.core.allocator import keep_freed_memory
from engine.core.checkpoint import load_weights
from engine.core.device import device
from engine.core.environment import value
from engine.core.numerics import numerics
from engine.training import faults
from engine.training.checkpoints import Checkpoints, Kept, warn_of_other_workers
from engine.training.distributed import present_workers
from engine.training.loader import Dataset
from engine.training.meter import Diverged, Meter, NonFinite
from engine.training.schedule import Schedule, Training, training_views
from engine.training.step import Learner
from engine.training.stopping import Stopped, stop_signals
from models.blocks.augment.draws import Draws


def initialise(seed: int) -> None:
    """Fix what the process shares: the seed that layers start from, and what the allocator
    keeps.
    """
    keep_freed_memory()
    torch.manual_seed(seed)


def train(
    objective: nn.Module, samples: Dataset, training: Training, lists: Lists | None = None
) -> None:
    """Train in place for `epochs`.

    With `state`, a killed run goes on and ends with the same weights, bit for bit.

    `lists` draws an epoch's list of images, a permutation of all by default. Inside a process group
    every worker calls this, with the same arguments. ValueError when there are no images, Diverged
    (one too) when the loss stops being finite; Stopped (a KeyboardInterrupt) after SIGINT or
    SIGTERM, the state kept. Side by side in threads it is not reproducible: what layers draw comes
    from the process's one generator.
    """
    workers, states = present_workers(), Checkpoints(training.state, training.keep)
    lists = lists or (lambda generator: torch.randperm(len(samples), generator=generator))
    try:
        kept = states.newest(workers)
        if kept and kept[1]["finished"]:
            load_weights(objective, kept[0], "module.")
        else:
            plan = Schedule.of(training, lists, workers)
            with numerics(plan.recipe.precision, plan.recipe.exact):
                _learn(objective, samples, training, plan, states, kept)
    finally:
        states.close()


def _learn(
    objective: nn.Module,
    samples: Dataset,
    training: Training,
    plan: Schedule,
    states: Checkpoints,
    kept: Kept | None,
) -> None:
    """From a kept state, if there is one, to the finished one."""
    learner, first = Learner(objective, plan.recipe, present_workers()), 0
    meter = Meter(training.report, learner.team)
    if kept:
        learner.load(*kept)
        first = kept[1]["iteration"]
        meter.load(kept[1])
        warn_of_other_workers(kept[1], learner.team, plan.recipe)
    try:
        _steps(learner, plan, samples, training, states, meter, first)
    except NonFinite as error:
        raise Diverged(
            faults.nonfinite_message(error, learner, plan, samples, training, states)
        ) from None
    learner.finish()
    if plan.recipe.precise_bn:
        count = -(-plan.recipe.precise_bn // plan.recipe.batch)
        steps = plan.reader(samples, range(plan.total, plan.total + count), learner.where)
        learner.settle((training_views(objective, step, training.seed), step) for step in steps)
    _keep(learner, plan, training, states, meter, plan.total, finished=True)


def _steps(
    learner: Learner,
    plan: Schedule,
    samples: Dataset,
    training: Training,
    states: Checkpoints,
    meter: Meter,
    first: int,
) -> None:
    """Take the steps from iteration `first` on, report, keep states."""
    total, alone = plan.total, learner.team.world == 1
    reader = plan.reader(samples, range(first, total), learner.where)
    meter.starts(reader, first)
    saved, every = time.monotonic(), value("TAGDAG_CHECKPOINT_SECONDS")
    if first == 0:
        _keep(learner, plan, training, states, meter, 0)
    with stop_signals() as signal:
        for step in reader:
            done, rate = step.iteration + 1, plan.rate(step.iteration)
            batch = training_views(learner.objective, step, training.seed)
            begun = time.perf_counter()
            meter.add(learner.step(batch, rate, step), step.total)
            if step.iteration == first and plan.recipe.compile != "off":
                training.report({"compile_seconds": time.perf_counter() - begun}, done)
            training.progress(done, total, meter.text)
            if (
                training.watch and done < total and done % plan.per_epoch == 0
            ):  # before a state, which ends the chance
                training.watch(done // plan.per_epoch, learner.objective)
                learner.objective.train()
            due = time.monotonic() - saved > every and not states.busy()
            reported = done % training.per_report == 0 or done == total
            if reported or (due or signal.number if alone else done >= meter.meeting):
                number, due = meter.agreed(step.iteration, signal.number, due)
                if reported:
                    meter.report(done, rate)
                if due or number:
                    _keep(learner, plan, training, states, meter, done)
                    saved = time.monotonic()
                if number:
                    states.wait()
                    raise Stopped(_farewell(number, done, total, states), number)


def _keep(
    learner: Learner,
    plan: Schedule,
    training: Training,
    states: Checkpoints,
    meter: Meter,
    done: int,
    finished: bool = False,
) -> None:
    """Hand the present state to the writer, of a finished training the weights.

    The first worker writes.
    """
    if states.folder is None or not (learner.team.first or plan.recipe.sharded):
        return
    tensors, about = (learner.weights(learner.team.first), {}) if finished else learner.state()
    about |= {"iteration": done, "finished": finished, "about": training.about}
    about |= {"world": learner.team.world, "batch": plan.recipe.batch} | meter.state()
    if learner.team.first:
        states.save(tensors, about)


def _farewell(number: int, done: int, total: int, states: Checkpoints) -> str:
    kept = (
        "its state is kept, the same command goes on from there"
        if states.folder
        else "nothing of it is kept"
    )
    return f"stopped by {Signals(number).name} after step {done} of {total}; {kept}"


@torch.no_grad()  # not inference_mode: the network may be trained afterwards
def predict(
    objective: nn.Module,
    samples: Dataset,
    call: str = "predict",
    batch: int = 512,
    rows: slice = slice(None),
) -> Iterator[tuple[Tensor, Any]]:
    """Yield (outputs, targets) per batch of the test views of these rows, in order.

    The outputs are those of the objective's method `call`. What a test view draws depends on its
    row alone, so that all networks are measured on the same views; in whole float32 and by exact
    kernels, whatever was trained before.
    """
    where, start = device(), rows.indices(len(samples))[0]
    objective.to(where, memory_format=torch.channels_last).eval()
    for number, indices in enumerate(torch.arange(len(samples))[rows].split(batch)):
        images, targets = samples.images(indices).to(where), samples.targets(indices).to(where)
        draws = Draws(seeded(0, 5), start + number * batch, len(samples))
        with (
            numerics()
        ):  # not around the yield: what the caller does in between has flags of its own
            tested = objective.test_views({"inputs": images, "targets": targets}, draws)
            outputs = getattr(objective, call)(tested["inputs"])
        yield outputs, tested["targets"]
