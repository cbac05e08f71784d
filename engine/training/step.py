"""One training step: random views, forward, backward, update.

In parts (micro-batches), in half precision, by several workers. loop.py takes the steps; what of a
`Learner` is kept between them is in snapshot.py.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from corpus.reading.sampler import LAYERS, VIEWS, seeded
from engine.core import batch as batches
from engine.core.batch import Batch
from engine.core.build import options
from engine.core.device import device
from engine.core.layout import placed
from engine.core.numerics import deterministic
from engine.training.averaging import Average, normalisable, precise_statistics
from engine.training.distributed import Workers, wrapped
from engine.training.loader import Step
from engine.training.norms import freeze_batch_norms
from engine.training.optimizers import optimizer
from engine.training.recipe import Recipe, weight_decay
from models.blocks.augment.draws import Draws
from models.blocks.methods.method import Method, Pace

HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}
GRAPHS = ("reduce-overhead", "max-autotune")  # modes of torch.compile that record CUDA graphs
# keys of the recipe that a phase may have its own values of; the others are of the whole step
OF_PHASE = ("rate", "per", "scaling", "warmup", "start", "ramp", "schedule", "optimizer", "clip")
OF_PHASE += ("weight_decay", "decay_end", "undecayed", "undecayed_rate", "layer_decay")
OF_PHASE += ("floor", "clip_each")
RECIPE_KEYS = {field.name for field in fields(Recipe)}
FIRST = Pace()
Losses = dict[str, Tensor]  # scalars: the loss, and its parts


def training_views(objective: nn.Module, step: Step, seed: int) -> Batch:
    """What the objective is trained on: random views of (seed, iteration, sample's place) alone."""
    # What layers draw themselves (dropout) depends on the step too: no generator need be kept.
    own = seeded(seed, LAYERS, step.iteration, step.first).initial_seed()
    torch.default_generator.manual_seed(own)
    if any(tensor.is_cuda for tensor in batches.each(step.batch)):
        torch.cuda.manual_seed(own)
    draws = Draws(seeded(seed, VIEWS, step.iteration), step.first, step.total)
    return objective.views(step.batch, draws)


@dataclass(frozen=True)
class Phase:
    """One optimizer of a step, with the recipe that it goes by."""

    name: str
    recipe: Recipe
    optimizer: torch.optim.Optimizer


def phases_of(objective: nn.Module, recipe: Recipe, where: str = "recipe") -> list[Phase]:
    """The optimizers of an objective's phases, in their order.

    ValueError where two phases update one parameter, or a setting is no key of a recipe.
    """
    made, taken = [], {}
    for name, (parameters, settings) in objective.phases().items():
        place = f"{where} of phase {name!r}" if name else where
        # options() tells what is no key of a recipe at all
        other = sorted(settings.keys() & (RECIPE_KEYS - set(OF_PHASE)))
        if other:
            raise ValueError(f"{place}: {other[0]!r} is of all phases: set it in the recipe")
        own = replace(recipe, **options(Recipe, settings, place))
        parameters = list(parameters)
        for parameter in parameters:
            other = taken.setdefault(id(parameter), name)
            if other != name:
                raise ValueError(
                    f"phases {other!r} and {name!r} of {type(objective).__name__} both update a "
                    f"parameter of shape {tuple(parameter.shape)}: give it to one of them"
                )
        made.append(Phase(name, own, optimizer(own, objective, place, parameters)))
    return made


def clip(optimizer: torch.optim.Optimizer, recipe: Recipe) -> None:
    """Shorten the gradient, of all that an optimizer updates or of each parameter by itself."""
    updated = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    together = [[parameter] for parameter in updated] if recipe.clip_each else [updated]
    for parameters in together:
        torch.nn.utils.clip_grad_norm_(parameters, recipe.clip)


def _add(total: Losses, found: dict[str, Any], weight: float, phase: str) -> None:
    """Add the scalars that one pass gave, by the names that they are reported under."""
    for key, value in found.items():
        if not isinstance(value, Tensor) or value.ndim:
            continue
        name = "_".join(filter(None, ["loss", phase, key.removeprefix("loss").strip("_")]))
        # detached, else the graphs of all passes would stay in memory
        part = value.detach() * weight
        total[name] = total[name] + part if name in total else part
        if name != "loss" and key == "loss":
            total["loss"] = total["loss"] + part


class Learner:
    """An objective in training, with its optimizers, average and scale of half-precision gradients.

    Made and used inside of `numerics(recipe.precision, recipe.exact)`: compiled steps and CUDA
    graphs keep the flags of their first call. ValueError for synchronised batch norm without GPUs,
    and for micro-batches of an objective whose loss is no mean over parts of a batch.
    """

    def __init__(self, objective: nn.Module, recipe: Recipe, workers: Workers) -> None:
        self.recipe, self.workers, self.where = recipe, workers, device()
        if recipe.micro is not None and not objective.exact_in_parts:
            raise ValueError(
                f"recipe.micro: the loss of {type(objective).__name__} is of a whole batch, and in "
                "parts would be another: remove micro, and lower batch where memory runs out"
            )
        if recipe.sharded and not objective.shardable:
            raise ValueError(
                f"recipe.sharded: {type(objective).__name__} keeps a copy or a queue whole on each "
                "worker: remove sharded"
            )
        if recipe.batch_norm == "sync" and workers.world > 1:
            if self.where.type == "cpu":
                raise ValueError(
                    "recipe: batch_norm 'sync' needs GPUs: PyTorch has none for CPUs, use 'worker'"
                )
            nn.SyncBatchNorm.convert_sync_batchnorm(objective)
        if recipe.batch_norm == "frozen":
            freeze_batch_norms(objective)
        self.objective = objective.train()
        if recipe.compile != "off":
            # before it compiles: what it compiles keeps the flags of now
            deterministic(recipe.exact, warn_only=True, compiled=True)
            # not torch.compile, which wraps: the names of weights in checkpoints would be others
            objective.compile(mode=recipe.compile)
        self.module = self._placed()
        # after that: sharding replaces the parameters by others
        self.phases = phases_of(objective, recipe)
        # bfloat16 has the range of float32: its gradients need no scale
        self.scaler = torch.amp.GradScaler(self.where.type, enabled=recipe.precision == "float16")
        withheld = type(objective).before_update is not Method.before_update
        if self.scaler.is_enabled() or withheld:
            self._clear_momentum()
        # What a CUDA graph gives lies where its next replay writes: passes add to gradients of
        # their own.
        self.added = recipe.compile in GRAPHS and recipe.micro is not None and not recipe.sharded
        if self.added:
            for parameter in objective.parameters():
                parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
        self.average = Average(objective, recipe.ema) if recipe.ema else None

    def _clear_momentum(self) -> None:
        """Momentum of zero, written.

        Fused SGD makes its buffers at its first step without writing them where float16 overflows
        and the step is skipped: the next step would read what memory held before. And it takes no
        parameters together of which only some have one, as where a gradient is withheld at first.
        """
        for phase in self.phases:
            if not phase.optimizer.defaults.get("momentum"):
                continue
            for group in phase.optimizer.param_groups:
                for parameter in group["params"]:
                    buffer = torch.zeros_like(parameter)
                    phase.optimizer.state[parameter]["momentum_buffer"] = buffer

    def _placed(self) -> nn.Module:
        """The objective on its device, wrapped so that its gradients are those of all workers."""
        if self.recipe.sharded and self.workers.world > 1:
            # FSDP2 takes contiguous weights, and each layer to its device as it is split: no device
            # holds them all
            self.objective.to(memory_format=torch.contiguous_format)
            return wrapped(self.objective, sharded=True).to(self.where)
        placed(self.objective, self.where)
        in_turns = len(self.objective.phases()) > 1
        return wrapped(self.objective, sharded=False, in_turns=in_turns)

    def step(self, views: Batch, step: Step, rates: Sequence[float], pace: Pace = FIRST) -> Losses:
        """Update the weights with the views of one batch, by one phase after the other.

        The mean losses, by name, stay on the device, so that nothing waits for them. Of several
        workers it is their mean that is the loss of the whole step, also where their parts differ.

        rates: the learning rate of each phase. pace: where in the training the step is.
        """
        losses: Losses = {}
        self.objective.before_step(pace)
        for phase, rate in zip(self.phases, rates, strict=True):
            for name, loss in self._update(phase, views, rate, step, pace).items():
                # "loss" is the sum over phases; what is of a phase alone carries its name
                losses[name] = losses[name] + loss if name in losses else loss
        self.objective.after_step((pace.iteration + 1) / pace.total)
        if self.average:
            self.average.update(self.objective, step.iteration)
        return losses

    def _update(self, phase: Phase, views: Batch, rate: float, step: Step, pace: Pace) -> Losses:
        """Forward, backward and the update of one phase's parameters."""
        for group in phase.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
            if group["weight_decay"]:
                group["weight_decay"] = weight_decay(phase.recipe, pace.progress)
        total: Losses = {"loss": torch.zeros((), device=self.where)}
        for part, weight, last in self.passes(views, step):
            with self._synchronised(last):
                # batch norm's fault over a single value per channel comes with cause and remedy
                with self._autocast(), normalisable():
                    # without a name where there is one phase: what is compiled stays as it was
                    more = {"phase": phase.name} if phase.name else {}
                    found = self.module(part, **more)
                    loss = found["loss"]
                self.scaler.scale(loss if weight == 1 else loss * weight).backward()
            _add(total, found, weight, phase.name)
        self.objective.before_update()
        if phase.recipe.clip is not None:
            # the norm is that of the gradients themselves, not of the scaled ones
            self.scaler.unscale_(phase.optimizer)
            clip(phase.optimizer, phase.recipe)
        self.scaler.step(phase.optimizer)
        self.scaler.update()
        # of all parameters: those that another phase updates have gradients of this loss too
        self.objective.zero_grad(set_to_none=not self.added)
        return total

    def passes(self, views: Batch, step: Step) -> Iterator[tuple[Batch, float, bool]]:
        """Micro-batches, their weight in this worker's loss, and whether each is the last one.

        All workers make as many passes, for in some they meet: one that has fewer images repeats
        one without weight. An image that would be alone in a last pass, of any worker, joins the
        one before: batch norm needs two.
        """
        if self.recipe.compile in GRAPHS:
            # from here on replays may write over what those of the step before gave
            torch.compiler.cudagraph_mark_step_begin()
        images = batches.length(views)
        # Of all workers, not of this one: each has to come to the same number of passes.
        fewest = step.total // self.workers.world
        most = max(1, -(-step.total // self.workers.world))
        size = min(self.recipe.micro or most, most)
        count = -(-most // size)
        # the worker with the fewest images would have one or none left for the last pass
        if count > 1 and size > 1 and fewest - (count - 1) * size < 2:
            count -= 1
        for number in range(count):
            last = number + 1 == count
            start, stop = min(number * size, images), min((number + 1) * size, images)
            if last:
                stop = images
            weight = (stop - start) / images * step.share
            # no image is left here, but the others wait for this worker's pass
            if stop == start:
                start, stop = 0, 1
            part = views
            if stop - start < images:
                part = batches.rows(views, slice(start, stop))
            yield part, weight, last

    def _synchronised(self, last: bool) -> AbstractContextManager:
        """Gradients meet those of the other workers after the last micro-batch only."""
        if self.workers.world == 1:
            return nullcontext()
        if self.recipe.sharded:
            self.module.set_requires_gradient_sync(last)
            return nullcontext()
        return nullcontext() if last else self.module.no_sync()

    def _autocast(self) -> AbstractContextManager:
        half = HALF.get(self.recipe.precision)
        return torch.autocast(self.where.type, half) if half else nullcontext()

    def adopt_average(self) -> None:
        """Make the averaged weights, if there are any, those of the objective."""
        if self.average:
            self.objective.load_state_dict(self.average.tensors)

    def renew_statistics(self, steps: Iterable[tuple[Batch, Step]]) -> None:
        """Batch norm's statistics anew, over passes as those of training."""
        parts = (part for views, step in steps for part, _, _ in self.passes(views, step))
        with self._autocast():
            precise_statistics(self.objective, parts, self.workers)
