"""Training and prediction loops. The loop knows nothing of a task: `loss = objective(batch)["loss"]`."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from corpus.shards.order import Order, seeded
from engine import checkpoint
from engine.recipe import Recipe, learning_rate, optimizer

CHECKPOINT_SECONDS = float(os.environ.get("TAGDAG_CHECKPOINT_SECONDS", "15"))
Report = Callable[[dict[str, float], int], None]
Progress = Callable[[int, int, str], None]


class Samples(Protocol):
    """What the loop reads: images as uint8 (n, h, w, 3) and targets, both by index."""

    def __len__(self) -> int: ...
    def images(self, indices: Tensor) -> Tensor: ...
    def targets(self, indices: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Training:
    """One training run but for its network: epochs, seed, where its state is kept and who is told."""

    recipe: Recipe
    epochs: float
    seed: int = 0
    state: Path | None = None
    report: Report = lambda values, iteration: None
    progress: Progress = lambda done, total, text: None
    per_report: int = 50


def device() -> torch.device:
    """The GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def initialise(seed: int) -> None:
    """Fix what the process shares: the global seed that layers initialise from, and deterministic kernels."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # costs a tenth, and nothing here reads such memory
    torch.backends.cudnn.benchmark = False


def batches(
    samples: Samples,
    epoch_list: Callable[[torch.Generator], Tensor],
    batch: int,
    per_epoch: int,
    seed: int,
    span: range,
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Iteration, images, targets of a span of iterations, one batch read ahead; order depends on (seed, epoch) only."""
    order = Order(epoch_list, batch, seed)

    def read(iteration: int) -> tuple[int, Tensor, Tensor]:
        indices = order.indices(*divmod(iteration, per_epoch))
        return iteration, samples.images(indices), samples.targets(indices)

    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(read, span.start) if span else None
        for iteration in span:
            current = ahead
            ahead = pool.submit(read, iteration + 1) if iteration + 1 < span.stop else None
            yield current.result()


def step(objective: nn.Module, optimizer: torch.optim.Optimizer, batch: dict[str, Tensor], precision: str) -> Tensor:
    """Forward, backward, update; returns the loss on the device, so that nothing waits for it."""
    half = precision == "bfloat16"
    with torch.autocast(batch["inputs"].device.type, torch.bfloat16, enabled=half):
        loss = objective(batch)["loss"]
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    objective.after_step()
    return loss.detach()


def train(
    objective: nn.Module,
    samples: Samples,
    training: Training,
    epoch_list: Callable[[torch.Generator], Tensor] | None = None,
) -> None:
    """Train in place for `epochs`; with `state`, a killed run goes on and ends with the same weights, bit for bit.

    The last, incomplete batch of an epoch is left out: it would change the normaliser of the loss (Goyal et al. 2017).
    ValueError when there are no images, or when the loss stops being finite.
    """
    where = device()
    objective.to(where, memory_format=torch.channels_last).train()
    solver = optimizer(training.recipe, objective)
    resumable = training.state is not None and training.state.exists()
    first = checkpoint.load_training(training.state, objective, solver) if resumable else 0
    losses, reported, saved = torch.zeros((), device=where), (first, time.monotonic()), time.monotonic()
    epoch_list = epoch_list or (lambda generator: torch.randperm(len(samples), generator=generator))
    for done, total, batch, loss in _steps(objective, solver, samples, training, epoch_list, first):
        losses += loss
        if done % training.per_report == 0 or done == total:
            reported = _report(training, losses, reported, done, batch, solver.param_groups[0]["lr"])
            losses.zero_()
        training.progress(done, total, "")
        if training.state is not None and (time.monotonic() - saved > CHECKPOINT_SECONDS or done == total):
            checkpoint.save_training(training.state, objective, solver, done)
            saved = time.monotonic()


def _steps(
    objective: nn.Module,
    solver: torch.optim.Optimizer,
    samples: Samples,
    training: Training,
    epoch_list: Callable[[torch.Generator], Tensor],
    first: int,
) -> Iterator[tuple[int, int, int, Tensor]]:
    """Take the training steps from iteration `first` on: (steps done, of how many, images in each, loss)."""
    seed, where = training.seed, device()
    images = len(epoch_list(seeded(seed, 1, 0)))
    if not images:
        raise ValueError("there are no training images: look at the splits in the report of the corpus stage")
    # a minibatch larger than the data becomes the data, and its learning rate that of its own size
    recipe = replace(training.recipe, batch=min(training.recipe.batch, images))
    per_epoch = images // recipe.batch
    total = max(1, round(training.epochs * per_epoch))
    for iteration, inputs, targets in batches(samples, epoch_list, recipe.batch, per_epoch, seed, range(first, total)):
        for group in solver.param_groups:
            group["lr"] = learning_rate(recipe, iteration, total, per_epoch)
        views = objective.views(inputs.to(where), seeded(seed, 2, iteration, where=where))
        loss = step(objective, solver, {"inputs": views, "targets": targets.to(where)}, recipe.precision)
        yield iteration + 1, total, recipe.batch, loss


def _report(
    training: Training, losses: Tensor, reported: tuple[int, float], done: int, batch: int, rate: float
) -> tuple[int, float]:
    """The one place where the loop waits for the device: mean loss, learning rate and speed since the last report."""
    steps, now = done - reported[0], time.monotonic()
    loss = losses.item() / steps
    if loss != loss or abs(loss) == float("inf"):
        raise ValueError(f"the loss is not finite before iteration {done}: lower recipe.rate or lengthen recipe.warmup")
    speed = steps * batch / max(now - reported[1], 1e-9)
    training.report({"loss": loss, "learning_rate": rate, "images_per_second": speed}, done)
    return done, now


@torch.no_grad()  # not inference_mode: the network may be trained afterwards
def predict(
    objective: nn.Module, samples: Samples, call: str = "predict", batch: int = 512
) -> Iterator[tuple[Tensor, Any]]:
    """Yield (outputs, targets) per batch, in order, without augmentation; outputs of the objective's method `call`."""
    where = device()
    objective.to(where, memory_format=torch.channels_last).eval()
    for indices in torch.arange(len(samples)).split(batch):
        inputs = objective.plain(samples.images(indices).to(where))
        yield getattr(objective, call)(inputs), samples.targets(indices).to(where)
