"""Training by several processes: who they are, what they agree on, how they are started and started again.

A step's images are split among the workers, each averages its loss over its own part, and gradients are averaged over
the workers: the mean over all images (Goyal et al. 2017, arXiv 1706.02677, remark 3). Nothing is divided twice.
"""

import logging
import os
import signal
import tempfile
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from engine.training.stopping import Stopped

RESTARTS = 3  # of all workers, when one of them dies


@dataclass(frozen=True)
class Team:
    """One of `world` workers; what it says `all` of, is of all of them, and equal in each."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the worker that writes and reports."""
        return self.rank == 0

    def part(self, n: int) -> slice:
        """This worker's share of n things, in their order; shares differ by one thing at the most."""
        each, more = divmod(n, self.world)
        start = self.rank * each + min(self.rank, more)
        return slice(start, start + each + (self.rank < more))

    def of_first(self, value: Any) -> Any:
        """What the first worker says."""
        told = [value]
        if self.world > 1:
            dist.broadcast_object_list(told, device=device())
        return told[0]

    def mean_(self, tensor: Tensor) -> Tensor:
        """The mean over all workers, in place."""
        if self.world > 1:
            dist.all_reduce(tensor)
            tensor /= self.world
        return tensor

    def gathered(self, numbers: Tensor) -> Tensor:
        """(world, n): the n numbers of every worker."""
        rows = [torch.empty_like(numbers) for _ in range(self.world)]
        dist.all_gather(rows, numbers)
        return torch.stack(rows)

    def merged(self, metric: Any) -> Any:
        """The metric of all workers' predictions, in the order of the workers: exact, no mean of means."""
        if self.world > 1:
            metrics: list[Any] = [None] * self.world
            dist.all_gather_object(metrics, metric)
            metric, *others = metrics
            for other in others:
                metric.merge(other)
        return metric


ALONE = Team()


def team() -> Team:
    """The workers of the present process group; alone where there is none."""
    active = dist.is_available() and dist.is_initialized()
    return Team(dist.get_rank(), dist.get_world_size()) if active else ALONE


def device() -> torch.device:
    """This worker's GPU when there is one, else the CPU."""
    return (
        torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if torch.cuda.is_available() else torch.device("cpu")
    )


def wrapped(objective: nn.Module, sharded: bool) -> nn.Module:
    """The objective whose backward pass averages gradients over the workers; `sharded` splits its weights (FSDP2)."""
    if team().world == 1:
        return objective
    if sharded:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(device().type, (team().world,))
        for layer in objective.backbone.layers():
            fully_shard(layer, mesh=mesh)
        return fully_shard(objective, mesh=mesh)
    from torch.nn.parallel import DistributedDataParallel

    # buffers stay each worker's own: batch norm's running averages are those of the first (Goyal et al., section 3)
    own = [device().index] if device().type == "cuda" else None
    with warnings.catch_warnings():  # torch 2.15 renames the argument, and 2.11 knows the old name only
        warnings.simplefilter("ignore", FutureWarning)
        return DistributedDataParallel(objective, device_ids=own, broadcast_buffers=False, gradient_as_bucket_view=True)


@contextmanager
def joined(address: str | None = None) -> Iterator[Team]:
    """The process group of this worker, whose number torchrun's environment says; without one it is alone."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield ALONE
        return
    where = device()
    if where.type == "cuda":
        torch.cuda.set_device(where)
    names = {"rank": int(os.environ["RANK"]), "world_size": int(os.environ["WORLD_SIZE"])} if address else {}
    dist.init_process_group("nccl" if where.type == "cuda" else "gloo", init_method=address, **names)
    yield team()
    dist.destroy_process_group()  # not after a fault: it might wait for a worker that is gone


def _work(folder: str, threads: int, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """One worker of `launch`; a fault in what it was given is told, and not tried again."""
    fault = Path(folder) / "fault"
    if fault.exists():
        return
    torch.set_num_threads(threads)
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}  # nothing listens on the network
    try:
        with joined(f"file://{folder}/{os.environ['TORCHELASTIC_RESTART_COUNT']}"):
            function(*arguments)
    except (ValueError, OSError) as error:
        if isinstance(error, ConnectionError):  # another worker's end
            raise
        part = fault.with_suffix(f".{os.environ['RANK']}")
        part.write_text(str(error))
        part.replace(fault)
        raise


def launch(workers: int, function: Callable[..., None], *arguments: Any) -> None:
    """Runs `function(*arguments)` in `workers` processes of this machine, as torchrun does, and waits for them.

    One that dies (kill -9, a fault of the machine) takes the others with it, and all start again: the function goes on
    from its last kept state. ValueError with a worker's own words, or when they died too often; Stopped after a signal.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    if torch.cuda.is_available() and workers > torch.cuda.device_count():
        raise ValueError(f"{workers} workers need as many GPUs, there are {torch.cuda.device_count()}")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    threads = max(1, torch.get_num_threads() // workers)
    with tempfile.TemporaryDirectory(prefix="tagdag-workers-") as folder:
        # they meet in a file: nothing listens on the network
        os.environ.setdefault("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
        os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "120")  # seconds to keep a state in, after a signal
        files = {"rdzv_backend": "c10d", "rdzv_endpoint": f"{folder}/meeting", "rdzv_configs": {"store_type": "file"}}
        config = LaunchConfig(
            1, 1, workers, run_id=uuid.uuid4().hex, max_restarts=RESTARTS, local_addr="127.0.0.1", **files
        )
        try:
            with _own_signals():
                elastic_launch(config, _work)(folder, threads, function, arguments)
        except SignalException as error:
            raise Stopped(
                f"stopped by {error.sigval.name}: run the same command again to go on", error.sigval
            ) from None
        except ChildFailedError as error:
            if not (Path(folder) / "fault").exists():
                raise ValueError(f"the workers died {RESTARTS + 1} times: {_last_words(error)}") from error
        if (Path(folder) / "fault").exists():
            raise ValueError((Path(folder) / "fault").read_text())


def _last_words(error: Any) -> str:
    rank, failure = next(iter(error.failures.items()))
    words = failure.message["message"] if isinstance(failure.message, dict) else failure.message
    return f"worker {rank} ended with {failure.exitcode}: {words}"


@contextmanager
def _own_signals() -> Iterator[None]:
    """Elastic leaves its handlers behind; afterwards ours are there again."""
    names = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
    before = {name: signal.getsignal(name) for name in names}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for name, handler in before.items():
                signal.signal(name, handler)
