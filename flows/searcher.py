"""One more worker of a search; those on its own machine the stage search starts itself (TAGDAG_SEARCHERS).

On another machine, with the same checkout, params.yaml and out/corpus, and one MLflow server and storage for all:
TAGDAG_SEARCH_STORAGE=postgresql://user@host/base MLFLOW_TRACKING_URI=http://host:5000 python -m flows.searcher
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator

import psutil
import torch

from flows.command import keywords, user_errors
from flows.orchestrate import log
from flows.sweep import Search, sweep


def count() -> int:
    """How many workers the stage search has on this machine: TAGDAG_SEARCHERS."""
    said = os.environ.get("TAGDAG_SEARCHERS", "1")
    if not said.isdecimal() or said == "0":
        raise ValueError(f"TAGDAG_SEARCHERS={said}: say how many networks are to be trained side by side")
    return int(said)


@contextlib.contextmanager
def others() -> Iterator[Callable[[], None]]:
    """The other workers on this machine, each with its part of the cores, or a GPU of its own.

    Yields what is to be called now and then: it starts one again that was killed.
    """
    share = max(1, len(os.sched_getaffinity(0)) // count())
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = named.split(",") if named else [str(i) for i in range(torch.cuda.device_count())]
    threads, said, children = torch.get_num_threads(), os.environ.get("TAGDAG_WORKERS"), []

    def start(i: int) -> subprocess.Popen:
        env = {key: value for key, value in os.environ.items() if key != "PREFECT_API_URL"}
        env |= {"OMP_NUM_THREADS": str(share), "TAGDAG_WORKERS": said or "1"} | (
            {"CUDA_VISIBLE_DEVICES": gpus[(i + 1) % len(gpus)]} if gpus else {}
        )
        command = [sys.executable, "-m", "flows.searcher", "--follow", str(os.getpid())]
        return subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL)

    def tend() -> None:
        for i, child in enumerate(children):
            if (child.poll() or 0) < 0:
                log.warning("a worker of the search died of signal %d: it is started again", -child.returncode)
                children[i] = start(i)

    try:
        children += [start(i) for i in range(count() - 1)]
        if children:  # for this process too: its part of the cores, and one GPU
            torch.set_num_threads(share)
            os.environ["TAGDAG_WORKERS"] = said or "1"
        yield tend
        for child in children:  # they too see that nothing is left; one that is only starting has nothing to lose
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(3)
            child.kill()
    finally:
        torch.set_num_threads(threads)
        os.environ.pop("TAGDAG_WORKERS") if children and not said else None
        for child in children:
            child.terminate()
        for child in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(30)
            child.kill()


def _follow(parent: int) -> None:
    """Stop in order when the process that started this one is gone."""

    def watch() -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(parent).wait()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main() -> None:
    """Command line of one more worker."""
    from flows.search import search

    parser = argparse.ArgumentParser(prog="python -m flows.searcher", description=__doc__)
    parser.add_argument("--follow", type=int, metavar="PID", help="end with this process")
    given = parser.parse_args()
    if given.follow:
        _follow(given.follow)
    with user_errors():
        joined = Search.joined(keywords(search))
        sweep(joined, lambda done, total, text: None)
        joined.run.flush()


if __name__ == "__main__":
    main()
