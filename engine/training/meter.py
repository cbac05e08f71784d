"""What a training reports: loss, speed, loader wait. The one place that waits for the device."""

import logging
import time
from collections.abc import Callable
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from engine.training.distributed import Workers
from engine.training.loader import Loader

log = logging.getLogger("tagdag")
Report = Callable[[dict[str, float], int], None]
SYNC_SECONDS = 5  # from one exchange of several workers to the next
STARVED = 10  # percent of the time that training may wait for images


class NonFinite(Exception):
    """The loss of an iteration is not finite."""

    def __init__(self, iteration: int, loss: float) -> None:
        super().__init__(iteration, loss)
        self.iteration, self.loss = iteration, loss


class Diverged(ValueError):
    """The same, told to the user: which step, which images, what to change."""


class Meter:
    """Collects the losses of steps on the device, and looks at them once in a while.

    curve: [step, mean loss since the report before, learning rate] of every report.
    """

    def __init__(self, report: Report, workers: Workers) -> None:
        self.send, self.workers = report, workers
        self.text, self.reports, self.advised = "", 0, False
        self.pending: list[Tensor] = []  # of each step the losses of `names`, in their order
        self.names: list[str] = ["loss"]
        self.losses: list[list[float]] = []
        self.curve: list[list[float]] = []

    def start(self, loader: Loader, first: int) -> None:
        """The batches of a loader begin, the first with this iteration."""
        self.loader, self.waited = loader, loader.waited
        self.samples, self.since = 0, time.perf_counter()
        # How many steps are done when several workers next exchange. After the first step, whose
        # time is all that is known of how many steps SYNC_SECONDS are.
        self.next_sync = first + 1
        self.synced = self.since

    def state(self) -> dict[str, Any]:
        """What a resumed training needs to report what an undisturbed one would."""
        # copies, as a thread writes them
        return {"losses": list(self.losses), "names": self.names, "curve": list(self.curve)}

    def load(self, about: dict[str, Any]) -> None:
        """Take up what `state` gave."""
        self.losses, self.curve = list(about["losses"]), list(about["curve"])
        self.names = about["names"]

    def add(self, losses: dict[str, Tensor], samples: int) -> None:
        """Note a step's losses, and how many samples all workers had in it."""
        # the same in every step of a training: the first one tells
        self.names = list(losses)
        self.pending.append(torch.stack(list(losses.values())))
        self.samples += samples

    def sync(self, iteration: int, signal: int, due: bool) -> tuple[int, bool]:
        """Wait for the losses up to this iteration, and for the other workers.

        The largest signal, and whether a checkpoint is due, of all workers.

        Several workers exchange again SYNC_SECONDS later, by the first one's clock. Raises
        NonFinite, in every worker, that says which step's loss was the first not to be finite.
        """
        now = time.perf_counter()
        if self.workers.world > 1:
            # one exchange for all that they have to agree on
            steps = SYNC_SECONDS * len(self.pending) / max(now - self.synced, 1e-9)
            mine = torch.tensor([float(signal), float(due), steps])
            own = torch.cat([*self.pending, mine.to(self.pending[0].device)])
            every = self.workers.gather(own)
            # each is the mean over a worker's part, with its share in it (loader.py)
            losses = every[:, :-3].mean(0).unflatten(0, (-1, len(self.names))).tolist()
            # a signal may reach any of them; of clocks that of the first counts, which writes
            signal, due = int(every[:, -3].max()), bool(every[0, -2])
            # a count of steps, that all workers reach: their clocks differ
            self.next_sync = iteration + 1 + max(1, int(every[0, -1]))
        else:
            losses = torch.stack(self.pending).tolist()
        self.pending, self.synced = [], now
        for offset, named in enumerate(losses):
            wrong = [loss for loss in named if not isfinite(loss)]
            if wrong:
                raise NonFinite(iteration - len(losses) + 1 + offset, wrong[0])
        self.losses += losses
        return signal, due

    def report(self, done: int, rate: float) -> None:
        """Send the means since the last report."""
        now = time.perf_counter()
        seconds = max(now - self.since, 1e-9)
        steps = len(self.losses)
        columns = zip(*self.losses, strict=True)
        means = {key: sum(each) / steps for key, each in zip(self.names, columns, strict=True)}
        loss = means["loss"]
        speed = self.samples / seconds
        wait = 100 * (self.loader.waited - self.waited) / seconds
        self.text = f"loss {loss:.3f}, {speed:,.0f} images/s, loader wait {wait:.0f} %"
        self.curve.append([done, loss, rate])
        values = {
            **means,
            "learning_rate": rate,
            "images_per_second": speed,
            "loader_wait": wait,
        }
        self.send(values, done)
        self.reports += 1
        # the first report holds the start of the loader
        if wait > STARVED and not self.advised and self.reports > 1:
            self.advised = True
            log.warning(
                "training waits %.0f %% of its time for images: %s", wait, self.loader.advice()
            )
        self.losses, self.samples, self.since, self.waited = [], 0, now, self.loader.waited
