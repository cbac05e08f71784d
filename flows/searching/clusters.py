"""The other workers of a search on Dask or Ray: TAGDAG_RUNNER=dask, TAGDAG_RUNNER=ray:8.

A worker of the cluster starts a process of flows/tools/searcher.py and waits for it: torch's random
generator, its threads and its memory are then a network's alone. Where a worker is lost, Dask or
Ray give its call to another; its network is begun again as after any death of a worker.
"""

from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from flows.running import executors
from flows.running.orchestrate import log
from flows.searching.search import Search
from flows.searching.workers import PATIENCE, LocalWorkers, local_workers, searcher


def run_searcher(folder: str, settings: dict[str, str]) -> None:
    """Work on the search of a folder until it is done; ends with the process that runs this."""
    child = searcher(settings, folder)
    child.stdin.write(b"\n")  # begin: its end is ours, when the pipe closes
    child.stdin.flush()
    if child.wait():
        raise RuntimeError(f"a worker of the search ended with {child.returncode}")


@dataclass
class ClusterWorkers(LocalWorkers):
    """The same as workers of a cluster, which restarts what dies."""

    kind: str = "dask"
    calls: list[Future] = field(default_factory=list)
    opened: ExitStack = field(default_factory=ExitStack)

    def prepare(self) -> None:
        """Nothing: a call is what starts them."""

    def begin(self, search: Search) -> None:
        """Let them work on a search."""
        self.search = search
        if self.workers == 1:
            return
        submit = self.opened.enter_context(executors.opened(self.kind, self.workers - 1))
        here = str(Path.cwd())
        self.calls = [submit(run_searcher, here, self.settings(i)) for i in range(self.workers - 1)]

    def poll(self) -> None:
        """Say once of a worker that is lost for good; the others have its networks."""
        for call in [each for each in self.calls if each.done() and each.exception()]:
            log.warning("a worker of the search is lost: %s", str(call.exception())[:200])
            self.calls.remove(call)

    def wait(self) -> None:
        """At the end of a search: they see it by themselves."""
        wait(self.calls, PATIENCE)

    def stop(self) -> None:
        """End them; those in training keep their states."""
        for call in self.calls:
            call.cancel()
        self.opened.close()


def search_workers(most: int | None = None) -> AbstractContextManager[LocalWorkers]:
    """The other workers of the stage search, where TAGDAG_RUNNER says; most: of all, at most."""
    named = executors.said()
    if named is None or named[0] == "processes":
        return local_workers(most)
    return local_workers(most, partial(ClusterWorkers, kind=named[0]))
