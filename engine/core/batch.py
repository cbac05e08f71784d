"""A batch: columns by name, a row per sample.

What a sample has differs from task to task, so that a batch is a plain dictionary. The names are
few and fixed: COLUMNS says what each of them holds, and a test holds the plug-ins to it. A target
that some samples lack has a boolean column `<name>_known` beside it; without one all have it.
"""

import itertools
from collections.abc import Iterable

import torch
from torch import Tensor

Column = Tensor | list[Tensor]  # a list where rows differ in size
Batch = dict[str, Column]

KNOWN = "_known"
COLUMNS = {
    "image": "uint8 (n, h, w, 3) of a data set; float (n, 3, h, w) normalised as a view",
    "label": "int64 (n,), the class; float (n, classes), its probabilities, where images are mixed",
    "hashtags": "float32 (n, vocabulary), 1 at each hashtag of a post",
    "tags": "float32 (n, classes), 1 at each class that an image shows, any number of them",
    "soft": "float32 (n, classes), probabilities that another network gave",
    "vector": "float32 (n, d), numbers of a sample in the data set's own unit",
    "scores": "float32 (n, classes), a network's, higher is likelier: logits or their logarithms",
    "probabilities": "float32 (n, classes), of 0 to 1",
    "confidence": "float32 (n,), of 0 to 1: how sure a network is of its answer",
    "features": "float32 (n, d), a network's, pooled",
}


def length(batch: Batch) -> int:
    """How many samples a batch has."""
    return len(next(iter(batch.values())))


def rows(batch: Batch, part: slice) -> Batch:
    """Some neighbouring samples of a batch."""
    return {name: column[part] for name, column in batch.items()}


def each(batch: Batch) -> list[Tensor]:
    """All tensors of a batch."""
    columns = (column if isinstance(column, list) else [column] for column in batch.values())
    return [tensor for column in columns for tensor in column]


def moved(batch: Batch, where: torch.device, pinned: bool = False) -> Batch:
    """The batch on a device; `pinned`: through pinned memory, without waiting for the copy."""

    def one(tensor: Tensor) -> Tensor:
        # only from pinned memory is a copy asynchronous
        return tensor.pin_memory().to(where, non_blocking=True) if pinned else tensor.to(where)

    return {
        name: list(map(one, column)) if isinstance(column, list) else one(column)
        for name, column in batch.items()
    }


def joined(parts: Iterable[Batch]) -> Batch:
    """Batches of the same columns, one after the other; empty without any."""
    whole: dict[str, list] = {}
    for part in parts:
        for name, column in part.items():
            whole.setdefault(name, []).append(column)
    return {name: end_to_end(columns) for name, columns in whole.items()}


def end_to_end(columns: list[Column]) -> Column:
    """Parts of one column, one after the other."""
    if isinstance(columns[0], Tensor):
        return torch.cat(columns)
    return list(itertools.chain.from_iterable(columns))
