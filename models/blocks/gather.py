"""Rows of all workers of a training, with the gradient: what contrasts samples of a whole batch.

Gradients are summed over the workers here and averaged over them afterwards, as those of weights
are (engine/training/distributed.py): the loss of each worker's own rows against the rows of all,
averaged over the workers, has the gradient that one worker with the whole batch would have.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["first_row", "gather", "whole_mean", "worker_count"]


class _Gather(torch.autograd.Function):
    """Rows (n, ...) of this worker -> those of all, by rank."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        counts = _counts(len(rows), rows.device)
        ctx.start, ctx.count = sum(counts[: dist.get_rank()]), len(rows)
        # workers may differ by a row, and a collective wants equal shapes
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        every = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(every, padded)
        return torch.cat([part[:count] for part, count in zip(every, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # every worker's loss depends on these rows
        whole = gradient.contiguous()
        dist.all_reduce(whole)
        return whole[ctx.start : ctx.start + ctx.count]


def _counts(own: int, where: torch.device) -> list[int]:
    """How many rows each worker has."""
    found = [torch.empty(1, dtype=torch.int64, device=where) for _ in range(dist.get_world_size())]
    dist.all_gather(found, torch.tensor([own], device=where))
    return [int(count) for count in found]


def _alone() -> bool:
    return not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1


def gather(rows: Tensor) -> Tensor:
    """Rows (n, ...) of all workers in the order of the batch; of a single one its own.

    Every worker has to call it, as often as the others.
    """
    return rows if _alone() else _Gather.apply(rows)


def first_row(rows: Tensor) -> int:
    """Where this worker's rows begin among those that `gather` gives."""
    return 0 if _alone() else sum(_counts(len(rows), rows.device)[: dist.get_rank()])


def worker_count() -> int:
    """How many workers there are."""
    return 1 if _alone() else dist.get_world_size()


def whole_mean(rows: Tensor) -> Tensor:
    """The mean (...) of the rows (n, ...) of all workers, without a gradient.

    Every worker has to call it, as often as the others.
    """
    rows = rows.detach()
    if _alone():
        return rows.mean(0)
    whole = torch.cat([rows.sum(0).flatten(), rows.new_tensor([len(rows)])])
    dist.all_reduce(whole)
    return (whole[:-1] / whole[-1]).view(rows.shape[1:])
