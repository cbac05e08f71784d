"""How many threads a training is fastest with that has the machine for itself: measured.

Two threads on two quiet cores gain a third to a half on large batches and nothing on small ones;
beside a neighbour they lose. Sums are rounded in another order with another number, so that a
result depends on it: who asks keeps it.
"""

import copy
import time
from statistics import median

import torch
from torch import nn

from corpus.reading.sampler import READING, seeded
from engine.core.threads import torch_threads
from engine.training.distributed import ALONE
from engine.training.loader import Dataset, Step
from engine.training.recipe import Recipe
from engine.training.step import Learner, training_views
from models.blocks.augment.draws import Draws

ROUNDS = 5  # of a step with each number; the first is a warm-up
WORTH = 0.9  # more threads have to take less than this share of the time of fewer


def fastest(
    objective: nn.Module, samples: Dataset, recipe: Recipe, seed: int, numbers: list[int]
) -> int:
    """The number of threads, of `numbers` in rising order, with which a training step takes least.

    Steps are those of a copy: weights and random numbers of the process stay as they are. They take
    turns, so that what else the machine does falls on all of them.
    """
    rows = torch.arange(min(recipe.batch, len(samples)))
    draws = Draws(seeded(seed, READING, 0), 0, len(rows))
    step = Step(0, samples.read(rows, draws), 0, len(rows), 1.0)
    taken: dict[int, list[float]] = {number: [] for number in numbers}
    # views seed the process's generator anew at each step; of CPUs alone, for with a GPU the number
    # of threads is not measured
    with torch.random.fork_rng(devices=[]):
        learner = Learner(copy.deepcopy(objective), recipe, ALONE)
        # a rate of 0: what is timed is the same work, and weights cannot diverge
        still = [0.0] * len(learner.phases)
        for number in ROUNDS * numbers:
            with torch_threads(number):
                begun = time.perf_counter()
                views = training_views(learner.objective, step, seed)
                learner.step(views, step, still)["loss"].item()
                taken[number].append(time.perf_counter() - begun)
    best = numbers[0]
    for number in numbers[1:]:
        if median(taken[number][1:]) < WORTH * median(taken[best][1:]):
            best = number
    return best
