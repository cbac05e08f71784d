"""One training step: views, forward, backward, update.

In parts, in half precision, by several workers.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from engine.core.checkpoint import load_weights
from engine.core.device import device
from engine.core.numerics import deterministic
from engine.training.averaging import Average, normalisable, precise_statistics
from engine.training.distributed import Workers, wrapped
from engine.training.loader import Batch
from engine.training.optimizers import optimizer
from engine.training.recipe import Recipe

HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}
GRAPHS = ("reduce-overhead", "max-autotune")  # modes of torch.compile that record CUDA graphs


class Learner:
    """An objective in training, with its optimizer, its average and the scale of half-precision
    gradients.

    Made and used inside of `numerics(recipe.precision, recipe.exact)`: compiled steps and CUDA
    graphs keep the flags of their first call. ValueError for synchronised batch norm without GPUs.
    """

    def __init__(self, objective: nn.Module, recipe: Recipe, team: Workers) -> None:
        where = device()
        if recipe.batch_norm == "sync" and team.world > 1:
            if where.type == "cpu":
                raise ValueError(
                    "recipe: batch_norm 'sync' needs GPUs: PyTorch has none for CPUs, use 'worker'"
                )
            nn.SyncBatchNorm.convert_sync_batchnorm(objective)
        self.recipe, self.team, self.where, self.objective = recipe, team, where, objective.train()
        if recipe.compile != "off":
            deterministic(recipe.exact, warn_only=True, compiled=True)
            objective.compile(mode=recipe.compile)
        if recipe.sharded and team.world > 1:
            # FSDP2 takes contiguous weights, and each layer to its device as it is split: no device
            # holds them all
            objective.to(memory_format=torch.contiguous_format)
            self.module = wrapped(objective, sharded=True).to(where)
        else:
            objective.to(where, memory_format=torch.channels_last)
            self.module = wrapped(objective, sharded=False)
        self.solver = optimizer(recipe, objective)
        self.scaler = torch.amp.GradScaler(where.type, enabled=recipe.precision == "float16")
        if self.scaler.is_enabled() and self.solver.defaults.get("momentum"):
            # the fused optimizer leaves them unwritten if it skips its first step
            for parameter in objective.parameters():
                self.solver.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        # What a CUDA graph gives lies where its next replay writes: passes add to gradients of
        # their own.
        self.added = recipe.compile in GRAPHS and recipe.micro is not None and not recipe.sharded
        if self.added:
            for parameter in objective.parameters():
                parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
        self.average = Average(objective, recipe.ema) if recipe.ema else None
        self.names = {id(p): name for name, p in objective.named_parameters()}

    def step(self, batch: dict[str, Tensor], rate: float, step: Batch) -> Tensor:
        """Update the weights with one batch.

        Its mean loss stays on the device, so that nothing waits for it.

        Of several workers it is their mean that is the loss of the whole step, also where their
        parts differ.
        """
        for group in self.solver.param_groups:
            group["lr"] = rate * group["scale"]
        total = torch.zeros((), device=self.where)
        for part, weight, last in self.passes(batch, step):
            with self._synchronised(last):
                with self._autocast(), normalisable():
                    loss = self.module(part)["loss"]
                self.scaler.scale(loss if weight == 1 else loss * weight).backward()
            total += loss.detach() * weight
        if self.recipe.clip is not None:
            self.scaler.unscale_(self.solver)
            torch.nn.utils.clip_grad_norm_(self.objective.parameters(), self.recipe.clip)
        self.scaler.step(self.solver)
        self.scaler.update()
        self.solver.zero_grad(set_to_none=not self.added)
        self.objective.after_step()
        if self.average:
            self.average.update(self.objective, step.iteration)
        return total

    def passes(
        self, batch: dict[str, Tensor], step: Batch
    ) -> Iterator[tuple[dict[str, Tensor], float, bool]]:
        """Micro-batches, their weight in this worker's loss, and whether each is the last one.

        All workers make as many passes, for in some they meet: one that has fewer images repeats
        one without weight. An image that would be alone in a last pass, of any worker, joins the
        one before: batch norm needs two.
        """
        if self.recipe.compile in GRAPHS:
            torch.compiler.cudagraph_mark_step_begin()
        n, fewest = len(batch["inputs"]), step.total // self.team.world
        largest = max(1, -(-step.total // self.team.world))
        size = min(self.recipe.micro or largest, largest)
        count = -(-largest // size)
        if count > 1 and size > 1 and fewest - (count - 1) * size < 2:
            count -= 1
        for i in range(count):
            rows = slice(min(i * size, n), n if i + 1 == count else min((i + 1) * size, n))
            weight = (rows.stop - rows.start) / n * step.share
            if rows.stop == rows.start:
                rows = slice(0, 1)
            part = (
                batch
                if weight == step.share
                else {name: tensor[rows] for name, tensor in batch.items()}
            )
            yield part, weight, i + 1 == count

    def _synchronised(self, last: bool) -> AbstractContextManager:
        """Gradients meet those of the other workers after the last micro-batch only."""
        if self.team.world == 1:
            return nullcontext()
        if self.recipe.sharded:
            self.module.set_requires_gradient_sync(last)
            return nullcontext()
        return nullcontext() if last else self.module.no_sync()

    def _autocast(self) -> AbstractContextManager:
        half = HALF.get(self.recipe.precision)
        return torch.autocast(self.where.type, half) if half else nullcontext()

    def finish(self) -> None:
        """Make the averaged weights those of the objective."""
        if self.average:
            self.objective.load_state_dict(self.average.tensors)

    def settle(self, steps: Iterable[tuple[dict[str, Tensor], Batch]]) -> None:
        """Batch norm's statistics anew, over passes as those of training."""
        parts = (part for batch, step in steps for part, _, _ in self.passes(batch, step))
        with self._autocast():
            precise_statistics(self.objective, parts, self.team)

    def weights(self, keep: bool) -> dict[str, Tensor]:
        """The objective's tensors: copies on the CPU, whole where they are sharded, for the
        workers that keep them.
        """
        return {
            f"module.{name}": _copy(tensor, keep)
            for name, tensor in self.objective.state_dict().items()
        }

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and plain values to go on from, as `weights`, for the first worker to keep."""
        averaged = self.average.tensors if self.average else {}
        tensors = {f"average.{name}": tensor for name, tensor in averaged.items()}
        for parameter, state in self.solver.state.items():
            name = self.names[id(parameter)]
            tensors |= {
                f"optimizer.{key}.{name}": v for key, v in state.items() if isinstance(v, Tensor)
            }
        own = ("params", "lr", "weight_decay", "scale")
        groups = [
            {k: _plain(v) for k, v in group.items() if k not in own}
            for group in self.solver.param_groups
        ]
        about = {"groups": groups, "scaler": self.scaler.state_dict()}
        copies = {name: _copy(tensor, self.team.first) for name, tensor in tensors.items()}
        return self.weights(self.team.first) | copies, about

    def load(self, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        """Take up what `state` gave.

        The number of workers, and whether weights are sharded, may be another.
        """
        now = self.objective.state_dict()
        split = {f"module.{name}": tensor for name, tensor in now.items() if _split(tensor)}
        split = {
            key: _like(tensors[key], tensor) for key, tensor in split.items() if key in tensors
        }
        load_weights(self.objective, tensors | split, "module.")
        if self.average:
            for name, tensor in self.average.tensors.items():
                tensor.copy_(_like(tensors[f"average.{name}"], tensor))
        self.solver.state.clear()
        fused = self.solver.defaults.get("fused")
        parameters = dict(self.objective.named_parameters())
        for name in (n for n in tensors if n.startswith("optimizer.")):
            _, key, owner = name.split(".", 2)
            like = parameters[owner].detach()
            # fused SGD pairs elements by their place in memory; files are contiguous, networks are
            # channels last
            alike, where = (
                tensors[name].shape == like.shape,
                like.device if fused else "cpu",
            )  # a number: of steps
            self.solver.state[parameters[owner]][key] = (
                _like(tensors[name], like) if alike else tensors[name].to(where)
            )
        for group, kept in zip(self.solver.param_groups, about["groups"], strict=True):
            group |= {key: value for key, value in kept.items() if key not in ("fused", "foreach")}
        self.solver.__setstate__(
            {"state": self.solver.state, "param_groups": self.solver.param_groups}
        )
        if about["scaler"]:
            self.scaler.load_state_dict(about["scaler"])


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


def _split(tensor: Any) -> bool:
    return hasattr(tensor, "full_tensor")  # DTensor, whose import takes a second


def _copy(tensor: Tensor, keep: bool) -> Tensor:
    """On the CPU, whole; all workers gather what is split, and only those that keep it copy it."""
    whole = tensor.detach()
    if _split(whole):
        whole = whole.full_tensor()
    return whole.to("cpu", copy=True) if keep else whole[:0] if whole.ndim else whole


def _like(tensor: Tensor, like: Tensor) -> Tensor:
    """The values of a whole tensor in the memory format, the device and the shards of another."""
    if _split(like):
        from torch.distributed.tensor import distribute_tensor

        return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)
    return torch.empty_like(like).copy_(tensor)
