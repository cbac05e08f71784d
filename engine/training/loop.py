"""The training loop, which is the heart of the project.

Read it from top to bottom: `train` prepares a `_Run`, whose methods stand in the order in which
they happen. Before it read recipe.py (the learning-rate rule) and schedule.py (how many steps there
are, and at which rates); after it step.py (what one step does with a batch), loader.py (where
batches come from), meter.py (what is reported) and checkpoints.py (what a killed run goes on from).

The loop knows nothing of a task: `loss = objective(batch)["loss"]`.
"""

import time
from dataclasses import dataclass, field
from functools import partial
from signal import Signals
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from corpus.reading.sampler import ListDrawer
from engine.core.allocator import keep_freed_memory
from engine.core.checkpoint import load_weights
from engine.core.environment import value
from engine.core.numerics import numerics
from engine.training.checkpoints import Checkpoints, Kept, warn_of_other_workers
from engine.training.distributed import present_workers
from engine.training.loader import Dataset
from engine.training.meter import Diverged, Meter, NonFinite
from engine.training.nonfinite import nonfinite_message
from engine.training.schedule import Schedule, Training
from engine.training.snapshot import learner_state, learner_weights, load_learner
from engine.training.step import Learner, training_views
from engine.training.stopping import Stopped, StopSignal, stop_signals


def initialise(seed: int) -> None:
    """Set what the process shares: the seed that layers start from, the allocator's thresholds."""
    keep_freed_memory()
    torch.manual_seed(seed)


def train(
    objective: nn.Module,
    samples: Dataset,
    training: Training,
    draw_list: ListDrawer | None = None,
) -> None:
    """Train in place for `epochs`.

    With `state`, a killed run goes on and ends with the same weights, bit for bit.

    `draw_list` gives an epoch's list of images, a permutation of all by default. Inside a process
    group every worker calls this, with the same arguments. ValueError when there are no images,
    Diverged (one too) when the loss stops being finite; Stopped (a KeyboardInterrupt) after SIGINT
    or SIGTERM, the state kept. Side by side in threads it is not reproducible: what layers draw
    comes from the process's one generator.
    """
    workers = present_workers()
    if draw_list is None:
        # a mixture of data sets has an order of its own
        draw_list = getattr(samples, "draw_list", None) or partial(_permutation, len(samples))
    checkpoints = Checkpoints(training.state, training.keep)
    try:
        kept = checkpoints.newest(workers)
        if kept and kept[1]["finished"]:
            # without an optimizer: a finished state has the weights alone
            load_weights(objective, kept[0], "module.")
            return
        schedule = Schedule.of(training, draw_list, workers)
        with numerics(schedule.recipe.precision, schedule.recipe.exact):
            learner = Learner(objective, schedule.recipe, workers)
            meter = Meter(training.report, workers)
            _Run(learner, schedule, samples, training, checkpoints, meter).learn(kept)
    finally:
        # after a fault too: a state that is still being written is what the next run goes on from
        checkpoints.close()


def _permutation(images: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(images, generator=generator)


@dataclass
class _Run:
    """A training under way; its methods are in the order in which they happen."""

    learner: Learner
    schedule: Schedule
    samples: Dataset
    training: Training
    checkpoints: Checkpoints
    meter: Meter
    saved: float = 0.0  # when the last checkpoint was, by time.monotonic
    every: float = field(default_factory=lambda: value("TAGDAG_CHECKPOINT_SECONDS"))

    def learn(self, kept: Kept | None) -> None:
        """From a kept checkpoint, if there is one, to the finished one."""
        first = self.resume(*kept) if kept else 0
        try:
            self.take_steps(first)
        except NonFinite as error:
            run = (self.learner, self.schedule, self.samples, self.training, self.checkpoints)
            raise Diverged(nonfinite_message(error, *run)) from None
        self.learner.adopt_average()
        # after that: the statistics are to be those of the weights that are kept
        if self.schedule.recipe.precise_bn:
            self.renew_statistics()
        self.save(self.schedule.total, finished=True)

    def resume(self, tensors: dict[str, Tensor], about: dict[str, Any]) -> int:
        """Take up a checkpoint; the iteration to go on with."""
        load_learner(self.learner, tensors, about)
        self.meter.load(about)
        warn_of_other_workers(about, self.learner.workers, self.schedule.recipe)
        return about["iteration"]

    def take_steps(self, first: int) -> None:
        """Take the steps from iteration `first` on; report, save and stop where that is due."""
        learner, schedule, training = self.learner, self.schedule, self.training
        loader = schedule.loader(self.samples, range(first, schedule.total), learner.where)
        self.meter.start(loader, first)
        self.saved = time.monotonic()
        if first == 0:
            # so that a step that diverges before the first checkpoint can be repeated too
            self.save(0)
        with stop_signals() as signal:
            for step in loader:
                done = step.iteration + 1
                views = training_views(learner.objective, step, training.seed)
                begun = time.perf_counter()
                losses = learner.step(views, step, *schedule.pace(step.iteration, learner.phases))
                # the first call compiles, and returns when that is done
                if step.iteration == first and schedule.recipe.compile != "off":
                    training.report({"compile_seconds": time.perf_counter() - begun}, done)
                self.meter.add(losses, step.total)
                training.progress(done, schedule.total, self.meter.text)
                # before a checkpoint: a run that is killed in between is watched here again
                if training.watch and done % schedule.per_epoch == 0 and done < schedule.total:
                    training.watch(done // schedule.per_epoch, learner.objective)
                    # whoever watches may have measured it, in the mode of tests
                    learner.objective.train()
                self.after_step(done, signal)

    def after_step(self, done: int, signal: StopSignal) -> None:
        """Report, save or stop where it is time to; the device is waited for only then."""
        report_due = done % self.training.per_report == 0 or done == self.schedule.total
        # a state that is still being written is waited for by the next one, and steps with it
        save_due = time.monotonic() - self.saved > self.every and not self.checkpoints.busy()
        if not self.must_sync(done, report_due, save_due or signal.number > 0):
            return
        # before the report and the save: a loss that is not finite raises here
        agreed_signal, agreed_save = self.meter.sync(done - 1, signal.number, save_due)
        if report_due:
            self.meter.report(done, self.schedule.rate(done - 1))
        if agreed_save or agreed_signal:
            self.save(done)
            self.saved = time.monotonic()
        if agreed_signal:
            self.stop(done, agreed_signal)

    def must_sync(self, done: int, report_due: bool, wanted: bool) -> bool:
        """Whether losses are read after this step; `wanted`: this worker is to save or stop."""
        if self.learner.workers.world == 1:
            return report_due or wanted
        # several workers wait for each other: at steps that all of them know beforehand
        return report_due or done >= self.meter.next_sync

    def stop(self, done: int, number: int) -> NoReturn:
        """End the training by a signal, once its state is on disk."""
        self.checkpoints.wait()
        kept = "nothing of it is kept"
        if self.checkpoints.folder:
            kept = "its state is kept, the same command goes on from there"
        place = f"after step {done} of {self.schedule.total}"
        raise Stopped(f"stopped by {Signals(number).name} {place}; {kept}", number)

    def renew_statistics(self) -> None:
        """Batch norm's statistics anew, from the images of the steps that would come next."""
        recipe, total = self.schedule.recipe, self.schedule.total
        count = -(-recipe.precise_bn // recipe.batch)
        span = range(total, total + count)
        loader = self.schedule.loader(self.samples, span, self.learner.where)
        objective, seed = self.learner.objective, self.training.seed
        self.learner.renew_statistics(
            (training_views(objective, step, seed), step) for step in loader
        )

    def save(self, done: int, finished: bool = False) -> None:
        """Hand the present state to the writer, of a finished training the weights.

        The first worker writes.
        """
        workers, recipe = self.learner.workers, self.schedule.recipe
        # all workers gather what is sharded, else the others have no part in it
        if self.checkpoints.folder is None or not (workers.first or recipe.sharded):
            return
        if finished:
            tensors, about = learner_weights(self.learner, workers.first), {}
        else:
            tensors, about = learner_state(self.learner)
        about |= {"iteration": done, "finished": finished, "about": self.training.about}
        about |= {"world": workers.world, "batch": recipe.batch}
        about |= self.meter.state()
        if workers.first:
            self.checkpoints.save(tensors, about)
