"""Warm processes for many small trainings side by side, one thread each.

One thread a process is the fastest way to share a CPU, and makes a result the same bytes whether it was trained beside
others or alone. The processes are forked from a server that has imported torch and has never run it: what runs torch's
threads must not fork. They are started once for a stage; one that dies is replaced, and its call is made again, which
goes on from the state that the training keeps. They end with the process that started them, however that ends.

Several GPUs: one process each. One GPU, or one core: no processes, calls are made here.
TAGDAG_ARMS=2 says how many processes, TAGDAG_ARMS=2:4 also how many threads each has.
"""

import contextvars
import multiprocessing
import os
import pickle
import queue
import re
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from engine.load import cores

DEATHS = 3  # of the process that makes a call, before it is given up
GRACE = 20.0  # seconds that a stopped training has to keep its state
DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # without one of these there is no GPU to ask torch for
WARM = ["flows.arms", "flows.records"]  # imported once, for all processes
CONTEXT = multiprocessing.get_context("forkserver")

_open: contextvars.ContextVar["Pool | None"] = contextvars.ContextVar("pool", default=None)


class Ended(KeyboardInterrupt):
    """A call that the end of its pool has cut short; what it trains goes on from its last state."""


def gpus() -> int:
    """How many GPUs there are; without the import of torch where there is none."""
    if not any(Path(device).exists() for device in DEVICES):
        return 0
    import torch

    return torch.cuda.device_count()


def sizes() -> tuple[int, int]:
    """(processes, threads of each) as TAGDAG_ARMS says, else one process per GPU, or per core with one thread."""
    said = os.environ.get("TAGDAG_ARMS", "")
    if said and not re.fullmatch(r"[1-9]\d*(:[1-9]\d*)?", said):
        raise ValueError(f"TAGDAG_ARMS={said}: say how many processes, as in 2, or also their threads, as in 2:4")
    many, _, threads = said.partition(":")
    return int(many) if many else gpus() or cores(), int(threads or 1)


def follow_parent() -> None:
    """End this process with the one that started it: after a kill -9 it would go on beside the next run's workers."""
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), name="parent", daemon=True).start()


def _serve(pipe: Connection, environment: dict[str, str], threads: int) -> None:
    """A process of the pool: makes the calls that come, until the pipe is closed or a signal ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all of a terminal; the parent tells by SIGTERM
    os.environ.update(environment)
    follow_parent()
    import torch

    torch.set_num_threads(threads)
    while True:
        try:
            function, arguments, reports = pipe.recv()
        except EOFError:
            return
        named = {"report": lambda *told: pipe.send((None, told))} if reports else {}
        try:
            answer = (True, function(*arguments, **named))
        except Exception as error:
            answer = (False, _portable(error))
        except KeyboardInterrupt:  # a training that was told to stop, and has kept its state
            return
        pipe.send(answer)


def _portable(error: Exception) -> Exception:
    """The error, as it can be sent, with where it was raised."""
    where = traceback.format_exc()
    try:
        error = pickle.loads(pickle.dumps(error))
    except Exception:
        error = ValueError(str(error)) if isinstance(error, ValueError) else RuntimeError(repr(error))
    error.add_note(where)
    return error


class _Worker:
    """A process, and the pipe to it."""

    def __init__(self, place: int, threads: int) -> None:
        self.pipe, theirs = CONTEXT.Pipe()
        environment = os.environ | ({"LOCAL_RANK": str(place % gpus())} if gpus() else {})
        self.process = CONTEXT.Process(target=_serve, args=(theirs, dict(environment), threads), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, call: tuple, report: Callable[..., None] | None) -> tuple[bool, Any]:
        """(True, result) or (False, error) of a call; EOFError or OSError when the process has died."""
        self.pipe.send(call)
        while (answer := self.pipe.recv())[0] is None:
            report(*answer[1])
        return answer


class Pool:
    """`call` may be used by as many threads as there are processes; more wait."""

    def __init__(self, processes: int, threads: int) -> None:
        self.processes, self._threads, self._ended = processes, threads, False
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for place in range(processes):
            self._free.put(place)
        self._workers: dict[int, _Worker] = {}
        self._starting = threading.Lock()
        _start_server()

    def call(self, function: Callable, *arguments: Any, report: Callable[..., None] | None = None) -> Any:
        """The function's result, computed in a process; its own errors are raised here."""
        place = self._free.get()
        try:
            good, found = self._answer(place, (function, arguments, report is not None), report)
        finally:
            self._free.put(place)
        if good:
            return found
        raise found

    def _answer(self, place: int, call: tuple, report: Callable[..., None] | None) -> tuple[bool, Any]:
        for _ in range(DEATHS):
            try:
                return self._worker(place).ask(call, report)
            except (EOFError, OSError):  # its death; the errors of what it was asked come as answers
                if gone := self._workers.pop(place, None):
                    gone.pipe.close()
                    gone.process.join()
        raise ValueError(
            f"the process that ran {call[0].__name__} died {DEATHS} times, as of want of memory: "
            "run the same command again with fewer side by side, TAGDAG_ARMS=1"
        )

    def _worker(self, place: int) -> _Worker:
        with self._starting:  # also keeps `end` from missing one
            if self._ended:
                raise Ended("stopped with the others: run the same command again to go on")
            if place not in self._workers:
                self._workers[place] = _Worker(place, self._threads)
            return self._workers[place]

    def end(self) -> None:
        """Stop all calls: trainings keep their states, and what takes longer than GRACE is killed."""
        with self._starting:
            self._ended = True
            workers = list(self._workers.values())
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join(GRACE)
            worker.process.kill()

    def close(self) -> None:
        """Let the processes go, after the last call."""
        self._ended = True
        for worker in self._workers.values():
            worker.pipe.close()
        for worker in self._workers.values():
            worker.process.join(GRACE)


def _start_server() -> None:
    """Start the server that processes are forked from, which imports in the background; once a process."""
    multiprocessing.set_forkserver_preload(WARM)
    # its imports know no sys.path but this, and libraries that start threads when they are loaded must not
    set_ = {"PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    before = {name: os.environ.get(name) for name in set_}
    os.environ |= set_
    try:
        forkserver.ensure_running()
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextmanager
def side_by_side(wanted: bool = True) -> Iterator[None]:
    """Inside, `apart` and `runners.gathered` use processes, where there is more than one core or GPU."""
    processes, threads = sizes()
    if not wanted or processes == 1:
        yield
        return
    pool = Pool(processes, threads)
    token = _open.set(pool)
    try:
        yield
    except BaseException:
        pool.end()
        raise
    finally:
        pool.close()
        _open.reset(token)


def current() -> Pool | None:
    """The pool that `side_by_side` has opened."""
    return _open.get()


def apart(function: Callable, *arguments: Any, report: Callable[..., None] | None = None) -> Any:
    """Call a function of a module in a process of the pool; without one here, with as many threads.

    report: what the function calls by that name with plain values.
    """
    if pool := current():
        return pool.call(function, *arguments, report=report)
    import torch

    before = torch.get_num_threads()
    if not gpus():
        torch.set_num_threads(sizes()[1])
    try:
        return function(*arguments, **({"report": report} if report else {}))
    finally:
        torch.set_num_threads(before)


def each(function: Callable, many: list[tuple], told: Callable[[int], None] = lambda done: None) -> list[Any]:
    """`apart` for each tuple of arguments, as many at a time as there are processes; results in their order."""
    if not (pool := current()):
        return [(apart(function, *one), told(done))[0] for done, one in enumerate(many, 1)]
    return threaded([partial(pool.call, function, *one) for one in many], pool.processes, told)


def threaded(calls: list[Callable[[], Any]], threads: int, told: Callable[[int], None]) -> list[Any]:
    """Results of calls that wait for others, in threads; `told(how many)` as they end. An error ends the pool."""
    with ThreadPoolExecutor(threads) as executor:
        futures = [executor.submit(call) for call in calls]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                future.result()
                told(done)
        except BaseException:
            if pool := current():
                pool.end()
            executor.shutdown(cancel_futures=True)
            raise
    return [future.result() for future in futures]
