"""What a metric takes: seconds of the clock, seconds of all processors, memory."""

import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path


def processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def timed(name: str, asked: Callable[..., float], *files: Path) -> float:
    """Prints what it takes, child processes included; gives the number, whose code is silent."""
    start, busy = time.perf_counter(), sum(os.times()[:4])
    with redirect_stdout(StringIO()):
        value = asked(*files)
    spent = time.perf_counter() - start, sum(os.times()[:4]) - busy
    print(f"  {name:20} {value:8.4f}  {spent[0]:7.2f} s, {spent[1]:7.2f} s of the processors")
    return value


@contextmanager
def ended_pools() -> Iterator[None]:
    """Ends the pools of processes that code leaves behind: only then is their time known."""
    pools, make = [], multiprocessing.Pool

    def kept(*options: int, **named: int):
        pools.append(make(*options, **named))
        return pools[-1]

    multiprocessing.Pool = kept
    try:
        yield
    finally:
        multiprocessing.Pool = make
        for pool in pools:
            pool.close()
            pool.join()


def peak() -> None:
    """Prints the most memory that this process has held."""
    print(f"  peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
