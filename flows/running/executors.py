"""Plain functions side by side: processes of this machine, Dask or Ray, as TAGDAG_RUNNER says.

Without it as many processes as there are cores. No Prefect server is needed. TAGDAG_DASK names the
scheduler of a Dask cluster that runs already, RAY_ADDRESS (Ray's own variable) a Ray cluster; its
machines have this project's folder at the same place, by NFS or the like, and this environment.
"""

import importlib.util
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from corpus.spread import Spread, in_turn
from engine.core.cores import cores
from engine.core.environment import value
from flows.running.prefect_private import RAY_ADDRESS
from flows.running.processes import CONTEXT, begin

Submit = Callable[..., Future]  # (function, *arguments) -> its future result
# of one call whose worker died: Dask and Ray make it again elsewhere
RETRIES = 3
ANSWER = 20  # seconds for a cluster's first answer


@contextmanager
def _processes(workers: int) -> Iterator[Submit]:
    before = set(multiprocessing.active_children())
    ours = {"initializer": begin, "initargs": (dict(os.environ),)}
    pool = ProcessPoolExecutor(workers, mp_context=CONTEXT, **ours)
    try:
        yield pool.submit
    except BrokenProcessPool:
        raise ValueError(
            "a process died, as of want of memory: what the others made is kept; run the same "
            "command again with fewer side by side, TAGDAG_RUNNER=processes:1"
        ) from None
    except BaseException:
        # the pool would first end what is begun
        for child in set(multiprocessing.active_children()) - before:
            child.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _dask(workers: int) -> Iterator[Submit]:
    from distributed import Client, LocalCluster

    address = value("TAGDAG_DASK")
    if address:
        with _dask_client(address) as client:
            yield client.get_executor(pure=False, retries=RETRIES).submit
        return
    with LocalCluster(**dask_cluster(workers)) as cluster, Client(cluster) as client:
        yield client.get_executor(pure=False, retries=RETRIES).submit


def dask_cluster(workers: int) -> dict[str, Any]:
    """What a Dask cluster of this machine is made with."""
    return {
        "n_workers": workers,
        # torch's random generator is the process's: two calls in one would share it
        "threads_per_worker": 1,
        # neither the scheduler nor its page is for other machines
        "host": "127.0.0.1",
        "dashboard_address": None,
    }


def ray_cluster(workers: int) -> dict[str, Any]:
    """What Ray is started with on this machine; to be called before it is imported."""
    # it would report its use to its makers
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    return {"num_cpus": workers, "include_dashboard": False} | RAY_ADDRESS


def _dask_client(address: str) -> Any:
    """A client of a cluster that runs; ValueError with the fix where none answers."""
    from distributed import Client

    try:
        client = Client(address, timeout=ANSWER)
    except (OSError, TimeoutError):
        raise ValueError(
            f"TAGDAG_DASK={address}: no Dask scheduler answers there: start it (`dask scheduler`), "
            "or unset it for processes of this machine"
        ) from None
    # other releases of Dask or Python fail later, with less to go by
    client.get_versions(check=True)
    return client


@contextmanager
def _ray(workers: int) -> Iterator[Submit]:
    local = ray_cluster(workers)
    import ray

    ray.init(log_to_driver=False, **({} if os.environ.get("RAY_ADDRESS") else local))
    try:
        yield partial(_submit_to_ray, ray)
    finally:
        ray.shutdown()


def _submit_to_ray(ray: Any, function: Callable[..., Any], *arguments: Any) -> Future:
    options = {"num_cpus": 1, "max_retries": RETRIES}
    return ray.remote(**options)(function).remote(*arguments).future()


KINDS: dict[str, tuple[Callable[[int], AbstractContextManager[Submit]], str]] = {
    "processes": (_processes, "multiprocessing"),
    "dask": (_dask, "distributed"),
    "ray": (_ray, "ray"),
}


def ask(submit: Submit, function: Callable[..., Any], many: Sequence[tuple], told: Any) -> list:
    """Results of calls in their order; `told(place)` as they end. An error cancels the rest."""
    places = {submit(function, *each): place for place, each in enumerate(many)}
    try:
        for future in as_completed(places):
            future.result()
            told(places[future])
    except BaseException:
        for future in places:
            future.cancel()
        raise
    return [future.result() for future in places]


def opened(kind: str, workers: int) -> AbstractContextManager[Submit]:
    """So many workers for the while of a block, and how a call is given to them."""
    return KINDS[kind][0](workers)


@dataclass(frozen=True)
class Executor:
    """A Spread that starts its workers for a `map` and lets them go after it."""

    kind: str
    workers: int

    def map(
        self, function: Callable[..., Any], many: Sequence[tuple], told: Callable[[int], None]
    ) -> list[Any]:
        """Results in their order; an error ends the calls that have not begun."""
        if not many:
            return []
        with opened(self.kind, min(self.workers, len(many))) as submit:
            return ask(submit, function, many, told)


def said() -> tuple[str, int] | None:
    """(kind, workers) that TAGDAG_RUNNER names; ValueError where what it needs is not installed."""
    text = value("TAGDAG_RUNNER")
    if not text:
        return None
    kind, _, workers = text.partition(":")
    module = KINDS[kind][1]
    if not importlib.util.find_spec(module):
        raise ValueError(
            f"TAGDAG_RUNNER={kind} needs {module}: uv pip install -c requirements.lock {module}"
        )
    return kind, int(workers) if workers else cores()


def spread() -> Spread:
    """What TAGDAG_RUNNER names, else a process for each core; this process where that is one."""
    kind, workers = said() or ("processes", cores())
    return in_turn if kind == "processes" and workers == 1 else Executor(kind, workers)
