"""Whether reading clips keeps a training of X3D-XS waiting, on the cores that there are."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import torch
from torch import nn

from corpus.reading.sampler import Sampler, seeded
from corpus.reading.shards import Shards
from engine.core.samples import Rows
from engine.training.loader import Loader
from models.backbones.x3d import X3D
from models.blocks.augment.draws import Draws
from models.heads.linear import Linear
from models.views.clips import Clips

FRAMES, EVERY, SIDE, BATCH = 4, 12, 160, 8


class Network(nn.Module):
    """The trunk under a classifier."""

    def __init__(self, classes: int):
        super().__init__()
        self.trunk = X3D()
        self.head = Linear(self.trunk.channels, classes)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.head(self.trunk(clips))


def step(network: Network, solver: torch.optim.Optimizer, clips: torch.Tensor) -> None:
    """One update."""
    labels = torch.arange(len(clips)) % 2
    solver.zero_grad(set_to_none=True)
    nn.functional.cross_entropy(network(clips), labels).backward()
    solver.step()


def training(folder: Path, rounds: int) -> Iterator[str]:
    """Lines on seconds of reading, of views and of steps, by clip, and on the time waited."""
    cores = len(os.sched_getaffinity(0))
    before = torch.get_num_threads()
    torch.set_num_threads(cores)
    shards = Shards(folder, "train")
    network = Network(len(shards.names))
    solver = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    views = Clips(frames=FRAMES, every=EVERY, short=[182, 228], size=SIDE)
    rows = Rows(shards, Clips.reads(frames=FRAMES, every=EVERY))
    spent: dict[str, list[float]] = {"read": [], "views": [], "step": []}
    waits = []
    shuffled = lambda generator: torch.randint(len(shards), (10_000,), generator=generator)  # noqa: E731
    loader = Loader(rows, Sampler(shuffled, BATCH, 0), 10_000, range(rounds + 1), CPU)
    for number, read in enumerate(loader):
        started = time.perf_counter()
        clips = views(read.batch, Draws(seeded(0, number)))["image"].flatten(0, 1)
        made = time.perf_counter()
        step(network, solver, clips)
        ended = time.perf_counter()
        waits.append(loader.waited)
        if number:  # the first warms up
            spent["views"].append(made - started)
            spent["step"].append(ended - made)
    for number in range(rounds):
        started = time.perf_counter()
        rows.read(torch.arange(BATCH) % len(shards), Draws(seeded(1, number)))
        spent["read"].append(time.perf_counter() - started)
    rates = {name: BATCH / median(times) for name, times in spent.items()}
    waited = waits[-1] - waits[0]
    share = waited / (waited + sum(spent["views"]) + sum(spent["step"]))
    torch.set_num_threads(before)
    yield (
        f"\nX3D-XS, {FRAMES} frames of {SIDE} px, one in {EVERY}, of the first set's shards, with "
        f"{cores} threads, clips/s of each alone: reading {rates['read']:.0f}, "
        f"views {rates['views']:.0f}, steps {rates['step']:.1f}. A training waits for clips "
        f"{100 * share:.1f}% of its time."
    )


CPU = torch.device("cpu")
