"""What a network predicts of samples under a policy, and how well: by any metric."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from corpus.reading.sampler import READING, TEST_VIEWS, seeded
from engine.core.allocator import fewer_images, memory_reason, out_of_memory
from engine.core.batch import Batch, each, moved
from engine.core.build import build
from engine.core.device import device
from engine.core.layout import placed
from engine.core.network import tested_columns
from engine.core.numerics import numerics
from engine.training.distributed import present_workers
from engine.training.loader import Dataset
from models.blocks.augment.draws import Draws

BATCH = 512  # samples of a forward pass, where memory allows
BYTES = 1 << 30  # of what is read for one, as floats: 512 images of 418 pixels
# (objective, batch of the data set, draws) -> (predictions, targets)
Policy = Callable[[nn.Module, Batch, Draws], tuple[Batch, Batch]]
Predicted = tuple[Tensor, Batch, Batch]  # indices of samples, their predictions and targets
PLAIN = {"name": "plain"}


def metric_of(task: Mapping[str, Any]) -> Any:
    """The metric that a task's section names, which has seen nothing."""
    return build("metrics", task["metric"], where="metric")


def policy_of(task: Mapping[str, Any]) -> Policy:
    """How a task's section has networks asked; plainly where it does not say."""
    return build("policies", task.get("policy", PLAIN), where="policy")


def predicted(
    module: nn.Module,
    samples: Dataset,
    policy: Policy | None = None,
    rows: slice = slice(None),
) -> Iterator[Predicted]:
    """Yield (indices (n,), predictions, targets) of these samples in order, on the device.

    policy: how the network is asked; None: plainly. Where memory runs out it goes on with half as
    many samples at a time: what is drawn for a sample stays the same. OutOfMemory when a single one
    does not fit.
    """
    ask = policy or build("policies", PLAIN)
    samples = as_tested(module, samples, ask)
    first, last, _ = rows.indices(len(samples))
    batch = fitting(samples) if first < last else BATCH
    while first < last:
        try:
            for found in _asked(module, samples, ask, batch, slice(first, last)):
                yield found
                first += len(found[0])
            return
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            reason = memory_reason(error)
        batch = fewer_images(batch, reason)


def as_tested(module: nn.Module, samples: Dataset, policy: Policy) -> Dataset:
    """The samples with what of each is read for a test, as of a video one clip or ten."""
    reads = getattr(samples, "reads", None)
    if reads is None:
        return samples
    columns = tested_columns(module, policy, reads)
    return samples if columns == reads else samples.reading(columns)


def fitting(samples: Dataset) -> int:
    """So many samples are asked for at a time: fewer where one is large, as several clips are."""
    if not hasattr(samples, "reads"):
        return BATCH
    one = samples.read(torch.zeros(1, dtype=torch.int64), Draws(seeded(0, READING), 0, 1))
    pixels = [tensor for tensor in each(one) if tensor.dtype == torch.uint8]
    return max(1, min(BATCH, BYTES // max(1, 4 * sum(tensor.numel() for tensor in pixels))))


@torch.no_grad()  # not inference_mode: the network may be trained afterwards
def _asked(
    objective: nn.Module, samples: Dataset, policy: Policy, batch: int, rows: slice
) -> Iterator[Predicted]:
    """The same in batches of one size.

    What a test view draws depends on its row alone, so that all networks are measured on the same
    views; in whole float32 and by exact kernels, whatever was trained before.
    """
    where = device()
    placed(objective, where).eval()
    first = rows.indices(len(samples))[0]
    for indices in torch.arange(len(samples))[rows].split(batch):
        reading, drawing = (
            Draws(seeded(0, stream), first, len(samples)) for stream in (READING, TEST_VIEWS)
        )
        read = moved(samples.read(indices, reading), where)
        # not around the yield: what the caller does in between has flags of its own
        with numerics():
            predictions, targets = policy(objective, read, drawing)
        yield indices, predictions, targets
        first += len(indices)


def scored(module: nn.Module, samples: Dataset, metric: Any, policy: Policy | None = None) -> Any:
    """The metric after all samples, of all workers: each of them predicts a part, and all have it.

    A pretext task is measured on its own answers: rotated images, puzzles or pixels are what is
    counted, as if those of one image were independent. OutOfMemory as `predicted`.
    """
    workers = present_workers()
    for _, predictions, targets in predicted(module, samples, policy, workers.part(len(samples))):
        metric.update(predictions, targets)
    return workers.merge(metric)
