"""Workers of one training on this machine: started as torchrun does, and started again.

What they compute is not decided here; splitting.py says how many there are.
"""

import json
import logging
import os
import signal
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from engine.core import forkserver
from engine.core.allocator import OutOfMemory, memory_reason, out_of_memory
from engine.core.torch_private import MEET_IN_FILE, failure_text
from engine.training.distributed import joined
from engine.training.meter import Diverged
from engine.training.splitting import threads_per_worker
from engine.training.stopping import Stopped

RESTARTS = 3  # of all workers, when one of them dies
# faults that keep their type on the way from a worker to who started it
KINDS = {kind.__name__: kind for kind in (ValueError, Diverged, OutOfMemory)}


class WorkersDied(ValueError):
    """Workers that died again and again.

    `exitcode`: of the last one, minus the signal as subprocess has it.
    """

    def __init__(self, message: str, exitcode: int = 0) -> None:  # pickled with the message alone
        super().__init__(message)
        self.exitcode = exitcode


def launch(workers: int, function: Callable[..., None], *arguments: Any) -> None:
    """Run `function(*arguments)` in `workers` processes of this machine, as torchrun does.

    It waits for them. One that dies (kill -9, a fault of the machine) takes the others with it, and
    all start again: the function goes on from its last checkpoint. ValueError with a worker's own
    words, which is Diverged or OutOfMemory where that was its fault; WorkersDied (one too) when
    they died too often; Stopped after a signal.
    """
    # here, for they take a second
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import elastic_launch

    if torch.cuda.is_available() and workers > torch.cuda.device_count():
        raise ValueError(
            f"{workers} workers need as many GPUs, there are {torch.cuda.device_count()}"
        )
    # it prints the faults that are raised here
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="tagdag-workers-") as folder:
        start = elastic_launch(_configured(workers, folder), _work)
        forkserver.start(["engine.training.loop", forkserver.TRAINS])
        try:
            with _own_signals():
                start(folder, threads_per_worker(workers), function, arguments)
        except SignalException as error:
            name = error.sigval.name
            raise Stopped(
                f"stopped by {name}: run the same command again to go on", error.sigval
            ) from None
        except ChildFailedError as error:
            _raise_fault(Path(folder))
            rank, failure = next(iter(error.failures.items()))
            raise WorkersDied(
                f"the workers died {RESTARTS + 1} times: worker {rank} ended with "
                f"{failure.exitcode}: {failure_text(failure)}",
                failure.exitcode,
            ) from error
        # workers that have told a fault may end without one
        _raise_fault(Path(folder))


def _configured(workers: int, folder: str) -> Any:
    """Elastic's LaunchConfig of workers that meet in a file: nothing listens on the network."""
    from torch.distributed.launcher.api import LaunchConfig

    for name, value in MEET_IN_FILE.items():
        os.environ.setdefault(name, value)
    # seconds to save a checkpoint in, after a signal
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "120")
    return LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=workers,
        run_id=uuid.uuid4().hex,
        max_restarts=RESTARTS,
        local_addr="127.0.0.1",
        rdzv_backend="c10d",
        rdzv_endpoint=f"{folder}/meeting",
        rdzv_configs={"store_type": "file"},
        start_method="forkserver",  # `spawn` would import torch anew in every worker
    )


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


def _work(
    folder: str, threads: int, function: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    """One worker of `launch`; a fault in its arguments is told, and not tried again."""
    fault = Path(folder) / "fault"
    # told by an attempt before this one, which would meet it again
    if fault.exists():
        return
    torch.set_num_threads(threads)
    # nothing listens on the network
    os.environ |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
    try:
        # a file of their own for each start: the one before holds workers that are gone
        with joined(f"file://{folder}/{os.environ['TORCHELASTIC_RESTART_COUNT']}"):
            function(*arguments)
    except Exception as error:
        kind = _kind(error)
        if kind:
            part = fault.with_suffix(f".{os.environ['RANK']}")
            part.write_text(json.dumps({"kind": kind, "text": _text(error)}))
            # whole at once, for several workers may have a fault to tell
            part.replace(fault)
        # all workers know of that, so none hangs, and to raise would start all again for nothing;
        # with any other fault this process must die, for elastic keeps one that has returned, and
        # the others wait for it
        if kind != "Diverged":
            raise


def _kind(error: Exception) -> str | None:
    """Which of KINDS an error of a worker is; None for one that another attempt may not meet."""
    # another worker's end; before OSError, of which it is one
    if isinstance(error, ConnectionError):
        return None
    if out_of_memory(error):
        return "OutOfMemory"
    name = type(error).__name__
    if name in KINDS:
        return name
    # a file that is missing, or a disk that is full, is so at the next attempt too
    return "ValueError" if isinstance(error, ValueError | OSError) else None


def _text(error: Exception) -> str:
    if out_of_memory(error):
        reason = memory_reason(error)
        return f"memory ran out in a worker ({reason}): lower recipe.micro or recipe.batch"
    return str(error)


def _raise_fault(folder: Path) -> None:
    """Raise what a worker has told, if one has."""
    file = folder / "fault"
    if file.exists():
        fault = json.loads(file.read_text())
        raise KINDS[fault["kind"]](fault["text"])
