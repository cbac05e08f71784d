"""Workers of one training on this machine: started as torchrun does, started again, their faults
told by type.
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
from engine.core.allocator import OutOfMemory, out_of_memory
from engine.core.environment import value
from engine.training.distributed import joined
from engine.training.meter import Diverged
from engine.training.recipe import Recipe
from engine.training.stopping import Stopped

RESTARTS = 3  # of all workers, when one of them dies
PAYS = 1_000_000  # images of a training, minutes on a GPU; to start workers takes 10 to 20 seconds
NORM = (
    16  # images whose statistics batch norm can live with: Wu, He 2018 (arXiv 1803.08494), figure 1
)
# faults that keep their type on the way from a worker to who started it
KINDS = {kind.__name__: kind for kind in (ValueError, Diverged, OutOfMemory)}


def requested_workers() -> int | None:
    """How many processes are to train one network: TAGDAG_WORKERS, None where it is not set.

    ValueError for what is no number of processes.
    """
    return value("TAGDAG_WORKERS")


def worker_count(recipe: Recipe, images: int, epochs: float) -> int:
    """How many workers a training of so many images and epochs is split among, where many such
    are to be done.

    TAGDAG_WORKERS, or one for each GPU where the training has PAYS images or more: below that their
    start costs more than it saves, and trainings side by side are better. Fewer where batch norm
    would see other numbers of images: with recipe.micro as many as have whole micro-batches,
    without it as many as have NORM images of a batch each, with batch_norm `sync` as many as there
    are. Its running averages are the first worker's, unless recipe.precise_bn has them computed
    anew.
    """
    gpus = torch.cuda.device_count()
    most = requested_workers() or (gpus if gpus > 1 and images * epochs >= PAYS else 1)
    batch = min(recipe.batch, images)
    if recipe.batch_norm == "sync":
        return max(1, min(most, batch))
    if not recipe.micro:
        return max(1, min(most, batch // NORM))
    whole = [n for n in range(1, most + 1) if batch % (n * recipe.micro) == 0]
    return max(whole, default=1)


class WorkersDied(ValueError):
    """Workers that died again and again; `exitcode`: of the last one, minus the signal as
    subprocess has it.
    """

    def __init__(self, message: str, exitcode: int = 0) -> None:  # pickled with the message alone
        super().__init__(message)
        self.exitcode = exitcode


def _work(
    folder: str, threads: int, function: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    """One worker of `launch`; a fault in what it was given is told, and not tried again."""
    fault = Path(folder) / "fault"
    if fault.exists():
        return
    torch.set_num_threads(threads)
    os.environ |= {
        "GLOO_SOCKET_IFNAME": "lo",
        "NCCL_SOCKET_IFNAME": "lo",
    }  # nothing listens on the network
    try:
        with joined(f"file://{folder}/{os.environ['TORCHELASTIC_RESTART_COUNT']}"):
            function(*arguments)
    except Exception as error:
        if kind := _kind(error):
            part = fault.with_suffix(f".{os.environ['RANK']}")
            part.write_text(json.dumps({"kind": kind, "text": _text(error)}))
            part.replace(fault)
        # all workers know of that, so none hangs, and to raise would start all again for nothing;
        # with any other fault this process must die, for elastic keeps one that has returned, and
        # the others wait for it
        if kind != "Diverged":
            raise


def _kind(error: Exception) -> str | None:
    """Which of them an error of a worker is; None for one that another attempt may not meet."""
    if isinstance(error, ConnectionError):  # another worker's end
        return None
    if out_of_memory(error):
        return "OutOfMemory"
    name = type(error).__name__
    if name in KINDS:
        return name
    return "ValueError" if isinstance(error, ValueError | OSError) else None


def _text(error: Exception) -> str:
    if out_of_memory(error):
        reason = str(error).splitlines()[0][:200] if str(error) else "MemoryError"
        return f"memory ran out in a worker ({reason}): lower recipe.micro or recipe.batch"
    return str(error)


def _raise_fault(folder: Path) -> None:
    """Raise what a worker has told, if one has."""
    if (file := folder / "fault").exists():
        told = json.loads(file.read_text())
        raise KINDS[told["kind"]](told["text"])


def launch(workers: int, function: Callable[..., None], *arguments: Any) -> None:
    """Runs `function(*arguments)` in `workers` processes of this machine, as torchrun does, and
    waits for them.

    One that dies (kill -9, a fault of the machine) takes the others with it, and all start again:
    the function goes on from its last kept state. ValueError with a worker's own words, which is
    Diverged or OutOfMemory where that was its fault; Died (one too) when they died too often;
    Stopped after a signal.
    """
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    if torch.cuda.is_available() and workers > torch.cuda.device_count():
        raise ValueError(
            f"{workers} workers need as many GPUs, there are {torch.cuda.device_count()}"
        )
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    threads = max(1, torch.get_num_threads() // workers)
    with tempfile.TemporaryDirectory(prefix="tagdag-workers-") as folder:
        # they meet in a file: nothing listens on the network
        os.environ.setdefault("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
        os.environ.setdefault(
            "TORCH_ELASTIC_SHUTDOWN_TIMEOUT", "120"
        )  # seconds to keep a state in, after a signal
        files = {
            "rdzv_backend": "c10d",
            "rdzv_endpoint": f"{folder}/meeting",
            "rdzv_configs": {"store_type": "file"},
        }
        config = LaunchConfig(
            1,
            1,
            workers,
            run_id=uuid.uuid4().hex,
            max_restarts=RESTARTS,
            local_addr="127.0.0.1",
            start_method="forkserver",  # `spawn` would import torch anew in every worker
            **files,
        )
        forkserver.start(["engine.training.loop", forkserver.TRAINS])
        try:
            with _own_signals():
                elastic_launch(config, _work)(folder, threads, function, arguments)
        except SignalException as error:
            raise Stopped(
                f"stopped by {error.sigval.name}: run the same command again to go on", error.sigval
            ) from None
        except ChildFailedError as error:
            _raise_fault(Path(folder))
            number = next(iter(error.failures.values())).exitcode
            raise WorkersDied(
                f"the workers died {RESTARTS + 1} times: {_last_words(error)}", number
            ) from error
        _raise_fault(Path(folder))


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
