"""What is read of two files: predictions and targets of the same samples, in the same order."""

from typing import NamedTuple

from torch import Tensor

from metrics.blocks.metric import Batch


class Pair(NamedTuple):
    """Two batches, a row per sample; names of classes, in the order of their numbers, where they
    are known; samples: what the files call each of them, as an image's name.
    """

    predictions: Batch
    targets: Batch
    names: list[str]
    samples: list[str]


def taken(batch: Batch, rows: Tensor) -> Batch:
    """Some rows of a batch, int64 (n,), in this order."""
    return {name: _chosen(column, rows) for name, column in batch.items()}


def _chosen(column: Tensor | list, rows: Tensor) -> Tensor | list:
    if isinstance(column, Tensor):
        return column[rows]
    return [column[row] for row in rows.tolist()]
