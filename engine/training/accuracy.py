"""How well a network predicts: the accuracy metric, fed with every sample."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from engine.core.allocator import fewer_images, memory_reason, out_of_memory
from engine.training.distributed import present_workers
from engine.training.loader import Dataset
from engine.training.loop import predict
from metrics.accuracy import Accuracy

BATCH = 512  # images of a forward pass, where memory allows


def predicted(
    module: nn.Module, samples: Dataset, rows: slice = slice(None), call: str = "predict"
) -> Iterator[tuple[Tensor, Any]]:
    """Yield (outputs, targets) of `predict`, with half as many images when memory runs out.

    It goes on with the images that are still to come, and their test views stay the same.
    OutOfMemory when a single image does not fit.
    """
    first, last, _ = rows.indices(len(samples))
    batch = BATCH
    while first < last:
        try:
            for found in predict(module, samples, call, batch, slice(first, last)):
                yield found
                first += batch
            return
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            reason = memory_reason(error)
        batch = fewer_images(batch, reason)


def measure_accuracy(module: nn.Module, samples: Dataset) -> Accuracy:
    """The metric after the test views of all samples.

    Of an image with several hashtags, any is a hit.

    A pretext task is measured on its own targets: rotated images, puzzles or pixels are what is
    counted, as if those of one image were independent. Several workers predict a part each, and all
    have the whole metric. OutOfMemory as `predicted`.
    """
    metric, workers = Accuracy(), present_workers()
    for scores, targets in predicted(module, samples, workers.part(len(samples))):
        metric.update({"scores": scores}, {"label": targets})
    return workers.merge(metric)
