"""One training step: random views, forward, backward, update.

In parts (micro-batches), in half precision, by several workers. loop.py takes the steps; what of a
`Learner` is kept between them is in snapshot.py.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from corpus.reading.sampler import LAYERS, VIEWS, seeded
from engine.core.device import device
from engine.core.numerics import deterministic
from engine.training.averaging import Average, normalisable, precise_statistics
from engine.training.distributed import Workers, wrapped
from engine.training.loader import Batch
from engine.training.optimizers import optimizer
from engine.training.recipe import Recipe
from models.blocks.augment.draws import Draws

HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}
GRAPHS = ("reduce-overhead", "max-autotune")  # modes of torch.compile that record CUDA graphs


def training_views(objective: nn.Module, batch: Batch, seed: int) -> dict[str, Tensor]:
    """What the objective is trained on: random views of (seed, iteration, image's place) alone."""
    # What layers draw themselves (dropout) depends on the step too: no generator need be kept.
    own = seeded(seed, LAYERS, batch.iteration, batch.first).initial_seed()
    torch.default_generator.manual_seed(own)
    if batch.inputs.is_cuda:
        torch.cuda.manual_seed(own)
    draws = Draws(seeded(seed, VIEWS, batch.iteration), batch.first, batch.total)
    return objective.views({"inputs": batch.inputs, "targets": batch.targets}, draws)


class Learner:
    """An objective in training, with its optimizer, average and scale of half-precision gradients.

    Made and used inside of `numerics(recipe.precision, recipe.exact)`: compiled steps and CUDA
    graphs keep the flags of their first call. ValueError for synchronised batch norm without GPUs.
    """

    def __init__(self, objective: nn.Module, recipe: Recipe, workers: Workers) -> None:
        self.recipe, self.workers, self.where = recipe, workers, device()
        if recipe.batch_norm == "sync" and workers.world > 1:
            if self.where.type == "cpu":
                raise ValueError(
                    "recipe: batch_norm 'sync' needs GPUs: PyTorch has none for CPUs, use 'worker'"
                )
            nn.SyncBatchNorm.convert_sync_batchnorm(objective)
        self.objective = objective.train()
        if recipe.compile != "off":
            # before it compiles: what it compiles keeps the flags of now
            deterministic(recipe.exact, warn_only=True, compiled=True)
            # not torch.compile, which wraps: the names of weights in checkpoints would be others
            objective.compile(mode=recipe.compile)
        self.module = self._placed()
        # after that: sharding replaces the parameters by others
        self.optimizer = optimizer(recipe, objective)
        # bfloat16 has the range of float32: its gradients need no scale
        self.scaler = torch.amp.GradScaler(self.where.type, enabled=recipe.precision == "float16")
        if self.scaler.is_enabled() and self.optimizer.defaults.get("momentum"):
            # fused SGD makes momentum buffers at its first step without writing them where float16
            # overflows and the step is skipped: the next step would read what memory held before
            for parameter in objective.parameters():
                self.optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        # What a CUDA graph gives lies where its next replay writes: passes add to gradients of
        # their own.
        self.added = recipe.compile in GRAPHS and recipe.micro is not None and not recipe.sharded
        if self.added:
            for parameter in objective.parameters():
                parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
        self.average = Average(objective, recipe.ema) if recipe.ema else None

    def _placed(self) -> nn.Module:
        """The objective on its device, wrapped so that its gradients are those of all workers."""
        if self.recipe.sharded and self.workers.world > 1:
            # FSDP2 takes contiguous weights, and each layer to its device as it is split: no device
            # holds them all
            self.objective.to(memory_format=torch.contiguous_format)
            return wrapped(self.objective, sharded=True).to(self.where)
        self.objective.to(self.where, memory_format=torch.channels_last)
        return wrapped(self.objective, sharded=False)

    def step(self, views: dict[str, Tensor], rate: float, batch: Batch) -> Tensor:
        """Update the weights with the views of one batch.

        Its mean loss stays on the device, so that nothing waits for it.

        Of several workers it is their mean that is the loss of the whole step, also where their
        parts differ.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        total = torch.zeros((), device=self.where)
        for part, weight, last in self.passes(views, batch):
            with self._synchronised(last):
                # batch norm's fault over a single value per channel comes with cause and remedy
                with self._autocast(), normalisable():
                    loss = self.module(part)["loss"]
                self.scaler.scale(loss if weight == 1 else loss * weight).backward()
            # detached, else the graphs of all passes would stay in memory
            total += loss.detach() * weight
        if self.recipe.clip is not None:
            # the norm is that of the gradients themselves, not of the scaled ones
            self.scaler.unscale_(self.optimizer)
            torch.nn.utils.clip_grad_norm_(self.objective.parameters(), self.recipe.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=not self.added)
        self.objective.after_step()
        if self.average:
            self.average.update(self.objective, batch.iteration)
        return total

    def passes(
        self, views: dict[str, Tensor], batch: Batch
    ) -> Iterator[tuple[dict[str, Tensor], float, bool]]:
        """Micro-batches, their weight in this worker's loss, and whether each is the last one.

        All workers make as many passes, for in some they meet: one that has fewer images repeats
        one without weight. An image that would be alone in a last pass, of any worker, joins the
        one before: batch norm needs two.
        """
        if self.recipe.compile in GRAPHS:
            # from here on replays may write over what those of the step before gave
            torch.compiler.cudagraph_mark_step_begin()
        images = len(views["inputs"])
        # Of all workers, not of this one: each has to come to the same number of passes.
        fewest = batch.total // self.workers.world
        most = max(1, -(-batch.total // self.workers.world))
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
            weight = (stop - start) / images * batch.share
            # no image is left here, but the others wait for this worker's pass
            if stop == start:
                start, stop = 0, 1
            part = views
            if stop - start < images:
                part = {name: tensor[start:stop] for name, tensor in views.items()}
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

    def renew_statistics(self, steps: Iterable[tuple[dict[str, Tensor], Batch]]) -> None:
        """Batch norm's statistics anew, over passes as those of training."""
        parts = (part for views, batch in steps for part, _, _ in self.passes(views, batch))
        with self._autocast():
            precise_statistics(self.objective, parts, self.workers)
