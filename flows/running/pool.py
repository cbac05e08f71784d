"""Warm processes for many small trainings side by side, one thread each.

One thread a process is the fastest way to share a CPU, and makes a result the same bytes whether it
was trained beside others or alone. The processes (flows/running/processes.py) are started once for
a stage; one that dies is replaced, and its call is made again, which goes on from the state that
the training keeps. They end with the process that started them.

Several GPUs: one process each. One GPU, or one core: no processes, calls are made here.
TAGDAG_ARMS=2 says how many processes, TAGDAG_ARMS=2:4 also how many threads each has.
"""

import contextvars
import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from typing import Any

from engine.core.cores import cores
from engine.core.environment import value
from engine.core.forkserver import TRAINS
from flows.running.processes import Worker, gpu_count, start_server

DEATHS = 3  # of the process that makes a call, before it is given up
GRACE = 20.0  # seconds that a stopped training has to keep its state

# of the context, of which every task of the flow has a copy
_open: contextvars.ContextVar["Pool | None"] = contextvars.ContextVar("pool", default=None)


class PoolEnded(KeyboardInterrupt):
    """A call that the end of its pool has cut short; what it trains goes on from its last state."""


def arms_variable() -> tuple[int, int]:
    """(processes, threads of each) that TAGDAG_ARMS names, 0 processes where it names none."""
    many, _, threads = (value("TAGDAG_ARMS") or "").partition(":")
    return int(many or 0), int(threads or 1)


def pool_size() -> tuple[int, int]:
    """(processes, threads of each): as TAGDAG_ARMS says, else one per GPU, or per core."""
    many, threads = arms_variable()
    if (value("TAGDAG_WORKERS") or 1) > 1:  # one training by several processes has the machine
        many = 1
    return many or gpu_count() or cores(), threads


class Pool:
    """`call` may be used by as many threads as there are processes; more wait."""

    def __init__(self, processes: int, threads: int, trains: bool = False) -> None:
        self.processes, self._threads, self._ended = processes, threads, False
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        # the number of a place is that of its GPU: no two calls share one
        for place in range(processes):
            self._free.put(place)
        self._workers: dict[int, Worker] = {}
        self._starting = threading.Lock()
        # at once: its imports take seconds, which pass while the first calls are prepared
        start_server([TRAINS] if trains else ())

    def call(
        self, function: Callable, *arguments: Any, report: Callable[..., None] | None = None
    ) -> Any:
        """The function's result, computed in a process; its own errors are raised here."""
        place = self._free.get()
        try:
            good, found = self._answer(place, (function, arguments, report is not None), report)
        finally:
            self._free.put(place)
        if good:
            return found
        raise found

    def _answer(
        self, place: int, call: tuple, report: Callable[..., None] | None
    ) -> tuple[bool, Any]:
        for _ in range(DEATHS):
            try:
                return self._worker(place).ask(call, report)
            except (EOFError, OSError):
                # its death: the errors of what it was asked come as answers
                gone = self._workers.pop(place, None)
                if gone:
                    gone.pipe.close()
                    gone.process.join()
        raise ValueError(
            f"the process that ran {call[0].__name__} died {DEATHS} times, as of want of memory: "
            "run the same command again with fewer side by side, TAGDAG_ARMS=1"
        )

    def _worker(self, place: int) -> Worker:
        with self._starting:  # also keeps `end` from missing one
            if self._ended:
                raise PoolEnded("stopped with the others: run the same command again to go on")
            if place not in self._workers:
                self._workers[place] = Worker(place, self._threads)
            return self._workers[place]

    def end(self) -> None:
        """Stop all calls: trainings keep their states; after GRACE processes are killed."""
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


@contextmanager
def open_pool(wanted: bool = True, trains: bool = False) -> Iterator[None]:
    """Inside, calls go to processes, where there is more than one core or GPU.

    trains: what they are to do; it changes only how soon they begin.
    """
    processes, threads = pool_size()
    if not wanted or processes == 1:
        yield
        return
    pool = Pool(processes, threads, trains)
    token = _open.set(pool)
    try:
        yield
    except BaseException:
        pool.end()
        raise
    finally:
        pool.close()
        _open.reset(token)


def current_pool() -> Pool | None:
    """The pool that `open_pool` has opened."""
    return _open.get()


def call_in_pool(
    function: Callable, *arguments: Any, report: Callable[..., None] | None = None
) -> Any:
    """Call a function of a module in a process of the pool; without one here, with as many threads.

    report: what the function calls by that name with plain values.
    """
    pool = current_pool()
    if pool:
        return pool.call(function, *arguments, report=report)
    from engine.core.threads import torch_threads

    # as many as a process of a pool has: a result has the same bytes with and without one
    with torch_threads(None if gpu_count() else pool_size()[1]):
        return function(*arguments, **({"report": report} if report else {}))


def map_in_pool(
    function: Callable, many: list[tuple], told: Callable[[int], None] = lambda done: None
) -> list[Any]:
    """`call_in_pool` for each tuple of arguments, as many at a time as there are processes.

    Results in their order.
    """
    pool = current_pool()
    if pool:
        calls = [partial(pool.call, function, *one) for one in many]
        return call_in_threads(calls, pool.processes, told)
    results = []
    for one in many:
        results.append(call_in_pool(function, *one))
        told(len(results))
    return results


def _cause(error: BaseException, futures: list[Future]) -> BaseException:
    """The fault for which calls were ended, which may be told later than their end."""
    if not isinstance(error, PoolEnded):
        return error
    for future in futures:
        other = None if future.cancelled() else future.exception()
        if other and not isinstance(other, PoolEnded):
            return other
    return error


def call_in_threads(
    calls: list[Callable[[], Any]], threads: int, told: Callable[[int], None]
) -> list[Any]:
    """Results of calls that wait for others, in threads; `told(how many)` as they end.

    An error ends the pool.
    """
    # threads that only wait, each for the process that computes its call
    with ThreadPoolExecutor(threads) as executor:
        futures = [executor.submit(call) for call in calls]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                future.result()
                told(done)
        except BaseException as error:
            pool = current_pool()
            if pool:
                pool.end()
            # calls that wait for a place must not take those that are free now
            executor.shutdown(cancel_futures=True)
            raise _cause(error, futures) from None
    return [future.result() for future in futures]
