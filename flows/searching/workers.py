"""The workers of a search on one machine: how many, on what, started with the stage, restarted
where one dies.

Each is a process of flows/tools/searcher.py, which other machines may start too; with
TAGDAG_RUNNER=dask or ray a worker of the cluster starts it (flows/searching/clusters.py).
"""

import contextlib
import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import torch

from engine.core.cores import cores
from engine.core.environment import value
from engine.core.threads import torch_threads
from flows.running import executors
from flows.running.orchestrate import log
from flows.searching import deaths
from flows.searching.search import Search, trials_of
from flows.searching.study import record_death

# bytes of memory for each worker that nobody asked for: a small search was seen to take 1.2 GiB
ROOM = 3 << 29
PATIENCE = 3  # seconds for a worker to see that nothing is left


def _gpu_names() -> list[str]:
    """The GPUs, as CUDA_VISIBLE_DEVICES has them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = torch.cuda.device_count()
    return named.split(",")[:found] if named else [str(i) for i in range(found)]


def worker_count(most: int | None = None) -> int:
    """How many workers the stage search has: TAGDAG_SEARCHERS or TAGDAG_RUNNER, or at most `most`.

    Unless it is set: one where TAGDAG_WORKERS has several processes train a network, one for each
    GPU, or without a GPU one for each core that memory allows.
    """
    asked = value("TAGDAG_SEARCHERS")
    if asked:
        return asked
    named = executors.said()
    if named:
        return named[1]
    if (value("TAGDAG_WORKERS") or 1) > 1:
        return 1
    in_memory = max(1, psutil.virtual_memory().available // ROOM)
    usable = len(_gpu_names()) or min(cores(), in_memory)
    return min(usable, most or usable)


def searcher(settings: dict[str, str], folder: str | None = None) -> subprocess.Popen:
    """A worker of a search, which begins when a line is written to its standard input.

    settings: environment variables besides this process's. folder: of the project, where another.
    """
    # without the stage's Prefect run, of which only the stage tells
    env = {key: value for key, value in os.environ.items() if key != "PREFECT_API_URL"}
    command = [sys.executable, "-m", "flows.searcher", "--follow"]
    return subprocess.Popen(command, cwd=folder, env=env | settings, stdin=subprocess.PIPE)


@dataclass
class LocalWorkers:
    """The other workers of a search on this machine: processes that wait until it has begun."""

    workers: int  # with the stage itself
    search: Search | None = None
    children: list[subprocess.Popen] = field(default_factory=list)

    def prepare(self) -> None:
        """Start them; they wait for `begin`."""
        self.children += [self.start(i) for i in range(self.workers - 1)]

    def begin(self, search: Search) -> None:
        """Let them work on a search, whose studies are told where one dies of a network."""
        self.search = search
        for child in self.children:
            self._release(child)

    def start(self, i: int) -> subprocess.Popen:
        """Worker i, counted from 0: on its own GPU, or on a CPU with one thread."""
        child = searcher(self.settings(i))
        if self.search:
            self._release(child)
        return child

    def settings(self, i: int) -> dict[str, str]:
        """Environment variables of worker i, besides those of this process."""
        env = {
            "OMP_NUM_THREADS": str(threads_each(self.workers)),
            "TAGDAG_WORKERS": str(value("TAGDAG_WORKERS") or 1),
            # the code that runs here, in whatever folder
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        named = _gpu_names()
        if named:  # the stage has the first
            env["CUDA_VISIBLE_DEVICES"] = named[(i + 1) % len(named)]
        return env

    def _release(self, child: subprocess.Popen) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has died; `poll` sees that
            os.write(child.stdin.fileno(), b"\n")

    def poll(self) -> None:
        """Called now and then: restarts those that a signal has ended, and notes whether it was a
        network.
        """
        for i, child in enumerate(self.children):
            if child.returncode is not None:
                continue
            ended = deaths.reaped(child.pid)
            if ended is None:
                continue
            child.returncode, peak = ended
            if child.returncode < 0:
                self._record_death(child, peak)
                self.children[i] = self.start(i)

    def _record_death(self, child: subprocess.Popen, peak: int) -> None:
        """Note that a network killed its worker, if it did; peak: bytes that the worker had."""
        log.warning(
            "a worker of the search died of signal %d: it is started again", -child.returncode
        )
        reason = deaths.own_fault(child.returncode, peak, deaths.memory() // self.workers)
        if reason:
            for study in (self.search.networks, self.search.finals):
                record_death(study, child.pid, reason)

    def wait(self) -> None:
        """At the end of a search: those that took part see it, one that is only starting has
        nothing to lose.
        """
        for child in self.children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(PATIENCE if _took_part(self.search, child.pid) else 0)
            child.kill()

    def stop(self) -> None:
        """End them; those in training keep their states."""
        for child in self.children:
            child.terminate()
        for child in self.children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(30)
            child.kill()
            child.wait()
            child.stdin.close()


def _took_part(search: Search, pid: int) -> bool:
    """Whether a process of this machine has had a network of the search."""
    trials = itertools.chain(trials_of(search.networks), trials_of(search.finals))
    return any(one.user_attrs.get("worker", {}).get("pid") == pid for one in trials)


def threads_each(workers: int) -> int:
    """Threads of each worker: one on a CPU, for the same results whatever their number.

    Two threads of one network lose to one on a machine that does other work, and gain little else.
    """
    return max(1, cores() // workers) if torch.cuda.is_available() else 1


@contextlib.contextmanager
def local_workers(
    most: int | None = None, made: Callable[[int], LocalWorkers] = LocalWorkers
) -> Iterator[LocalWorkers]:
    """The other workers, those on this machine started at once: what they import is imported beside
    the stage's own start.

    made: of how many workers in all, with the stage itself.
    most: networks that may be trained at once. Inside, this process has threads and a GPU as they
    have.
    """
    found = made(worker_count(most))
    asked = os.environ.get("TAGDAG_WORKERS")
    alike = found.workers > 1 or not torch.cuda.is_available()
    try:
        if found.workers > 1:
            found.prepare()
            os.environ["TAGDAG_WORKERS"] = asked or "1"
        with torch_threads(threads_each(found.workers) if alike else None):
            yield found
            found.wait()
    finally:
        if found.workers > 1 and asked is None:
            del os.environ["TAGDAG_WORKERS"]
        found.stop()
