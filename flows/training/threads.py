"""In how many processes, and on how many threads of a CPU, a network is trained here."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import nn

from engine.core.cores import cores, processor
from engine.core.digest import digest
from engine.core.environment import value
from engine.core.samples import Rows
from engine.core.threads import torch_threads
from engine.training.fastest import fastest
from engine.training.recipe import Recipe
from flows.running import settings
from flows.tracking.tracking import Run
from flows.training.beside import THREADS


class Trained(Protocol):
    """What is asked of a training: flows/training/learning.py has it."""

    sections: dict[str, Any]
    recipe: Recipe
    seed: int

    def samples(self) -> Rows: ...
    def new_network(self, names: list[str]) -> nn.Module: ...


def training_workers() -> int:
    """How many processes train a network here: TAGDAG_WORKERS, or one for each GPU."""
    return value("TAGDAG_WORKERS") or max(1, torch.cuda.device_count())


@contextmanager
def own_threads(job: Trained, run: Run, title: str) -> Iterator[None]:
    """Inside, torch has as many threads as this training is fastest with.

    OMP_NUM_THREADS goes before.
    """
    said = "OMP_NUM_THREADS" in os.environ
    if said or training_workers() > 1 or torch.cuda.is_available() or cores() == 1:
        yield
        return
    number = _thread_count(job)
    print(f"{title}: on {number} of {cores()} threads (OMP_NUM_THREADS sets another number)")
    # sums are rounded by it: who repeats the run elsewhere needs the number
    run.tags(threads=str(number))
    with torch_threads(number):
        yield


def _thread_count(job: Trained) -> int:
    """The number of threads that the training is fastest with, measured once and kept.

    By network, batch and machine: a run that is repeated or goes on rounds its sums in the same
    order, and ends with the same weights.
    """
    samples = job.samples()
    machine = (platform.node(), processor(), cores(), torch.__version__)
    key = digest(job.sections, repr(job.recipe), samples.shards.size, machine)
    # kept beyond the end of the stage, as its states are not: a repeat is to round its sums alike
    kept = settings.STATE / "threads" / key
    if not kept.exists():
        number = value(THREADS)  # said where others are trained beside it
        if not number:
            module = job.new_network(samples.shards.classes)
            # all cores or one: for a small network, or beside other work, more threads are slower
            number = fastest(module, samples, job.recipe, job.seed, [1, cores()])
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(f"{number}\n")
    return int(kept.read_text())
