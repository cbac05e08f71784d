"""Training by several processes: who they are and what they agree on; launching.py starts them.

A step's images are split among the workers, each averages its loss over its own part, and gradients
are averaged over the workers: the mean over all images (Goyal et al. 2017, arXiv 1706.02677, remark
3). Nothing is divided twice.
"""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from engine.core.device import device


@dataclass(frozen=True)
class Workers:
    """One of `world` workers; what it says `all` of, is of all of them, and equal in each."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the worker that writes and reports."""
        return self.rank == 0

    def part(self, n: int) -> slice:
        """This worker's share of n things, in their order.

        Shares differ by one thing at the most.
        """
        each, more = divmod(n, self.world)
        start = self.rank * each + min(self.rank, more)
        return slice(start, start + each + (self.rank < more))

    def broadcast(self, value: Any) -> Any:
        """The first worker's value, whatever the others give."""
        values = [value]
        if self.world > 1:
            # NCCL sends from GPUs only
            dist.broadcast_object_list(values, device=device())
        return values[0]

    def mean_(self, tensor: Tensor) -> Tensor:
        """The mean over all workers, in place."""
        if self.world > 1:
            dist.all_reduce(tensor)
            tensor /= self.world
        return tensor

    def gather(self, numbers: Tensor) -> Tensor:
        """(world, n): the n numbers of every worker."""
        rows = [torch.empty_like(numbers) for _ in range(self.world)]
        dist.all_gather(rows, numbers)
        return torch.stack(rows)

    def merge(self, metric: Any) -> Any:
        """The metric of all workers' predictions in their order: exact, no mean of means."""
        if self.world > 1:
            metrics: list[Any] = [None] * self.world
            dist.all_gather_object(metrics, metric)
            # by rank, so that predictions stay in the order of the samples
            metric, *others = metrics
            for other in others:
                metric.merge(other)
        return metric


ALONE = Workers()


def present_workers() -> Workers:
    """The workers of the present process group; alone where there is none."""
    active = dist.is_available() and dist.is_initialized()
    return Workers(dist.get_rank(), dist.get_world_size()) if active else ALONE


def wrapped(objective: nn.Module, sharded: bool, in_turns: bool = False) -> nn.Module:
    """The objective whose backward pass averages gradients over the workers.

    `sharded` splits its weights (FSDP2). `in_turns`: a pass may give some parameters no gradient,
    as where each phase of a step has a loss of its own.
    """
    if present_workers().world == 1:
        return objective
    if sharded:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(device().type, (present_workers().world,))
        # each by itself: its weights are gathered when it computes, never all of them at once
        for layer in objective.backbone.layers():
            fully_shard(layer, mesh=mesh)
        return fully_shard(objective, mesh=mesh)
    from torch.nn.parallel import DistributedDataParallel

    own = [device().index] if device().type == "cuda" else None
    with warnings.catch_warnings():
        # torch 2.15 renames an argument, and 2.11 knows the old name only
        warnings.simplefilter("ignore", FutureWarning)
        # buffers stay each worker's own: batch norm's running averages are those of the first
        # (Goyal et al., section 3)
        return DistributedDataParallel(
            objective,
            device_ids=own,
            broadcast_buffers=False,
            gradient_as_bucket_view=True,
            # costs a walk through the graph of each pass
            find_unused_parameters=in_turns,
        )


@contextmanager
def joined(address: str | None = None) -> Iterator[Workers]:
    """The process group of this worker, whose number torchrun's environment says.

    Without one it is alone.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield ALONE
        return
    where = device()
    if where.type == "cuda":
        # NCCL's communicator is made on the current one
        torch.cuda.set_device(where)
    backend = "nccl" if where.type == "cuda" else "gloo"
    if address is None:
        dist.init_process_group(backend)
    else:
        # from the environment torch takes them only if it takes the address from there too
        rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        dist.init_process_group(backend, init_method=address, rank=rank, world_size=world)
    yield present_workers()
    dist.destroy_process_group()  # not after a fault: it might wait for a worker that is gone
