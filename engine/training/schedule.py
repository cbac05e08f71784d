"""What a training is asked for, and what that comes to on its data: steps, order and rates."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from corpus.progress import Progress, unseen
from corpus.reading.sampler import ORDER, ListDrawer, Sampler, seeded
from engine.training.distributed import Workers
from engine.training.loader import Dataset, Loader
from engine.training.meter import Report
from engine.training.recipe import Recipe, learning_rate
from engine.training.step import Phase
from models.blocks.methods.method import Pace


@dataclass(frozen=True)
class Training:
    """The arguments of one training but for its network and its data.

    state: folder of the last `keep` checkpoints. about: what a checkpoint says of its network, such
    as its sections. per_report: steps between two reports. watch(epochs, objective): called after
    every epoch but the last, again after a kill; what it raises ends the training.
    """

    recipe: Recipe
    epochs: float
    seed: int = 0
    state: Path | None = None
    report: Report = lambda values, iteration: None
    progress: Progress = unseen
    per_report: int = 50
    watch: Callable[[int, nn.Module], None] | None = None
    keep: int = 2
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Schedule:
    """What a training comes to on its data: the recipe as run, steps per epoch and in all."""

    recipe: Recipe
    per_epoch: int
    total: int
    sampler: Sampler
    seed: int

    @classmethod
    def of(cls, training: Training, draw_list: ListDrawer, workers: Workers) -> "Schedule":
        """ValueError when there are no images, or the batch cannot be split among the workers."""
        # counted in the list, not in the data: a list may hold an image more than once
        images = len(draw_list(seeded(training.seed, ORDER, 0)))
        if images < workers.world:
            raise ValueError(
                f"{images} training images: look at the splits in the report of the corpus stage"
            )
        # A batch larger than the data becomes the data, and its learning rate that of its own size.
        recipe = replace(training.recipe, batch=min(training.recipe.batch, images))
        drop = recipe.last == "drop"
        place = (workers.world, workers.rank)
        sampler = Sampler(draw_list, recipe.batch, training.seed, *place, drop)
        per_epoch = sampler.steps_of(images)
        # epochs may be a fraction, of which at least one step is taken
        total = max(1, round(training.epochs * per_epoch))
        return cls(recipe, per_epoch, total, sampler, training.seed)

    def rate(self, iteration: int) -> float:
        """Learning rate of a step."""
        return learning_rate(self.recipe, iteration, self.total, self.per_epoch)

    def pace(self, iteration: int, phases: Iterable[Phase]) -> tuple[list[float], Pace]:
        """The learning rate of each phase, and where in the training the step is."""
        place = (iteration, self.total, self.per_epoch)
        return [learning_rate(each.recipe, *place) for each in phases], Pace(*place)

    def loader(self, samples: Dataset, span: range, where: torch.device) -> Loader:
        """The batches of a span of steps."""
        return Loader(samples, self.sampler, self.per_epoch, span, where, self.seed)
