"""Tasks of a flow side by side: in the processes of flows/running/pool.py, or by TAGDAG_RUNNER.

`TAGDAG_RUNNER=processes` (or dask, ray; `processes:4` says how many) runs whole tasks elsewhere: by
flows/running/executors.py, or with a Prefect server by Prefect's task runner of that kind, which
shows them. No task computes in a thread: torch's random generator is the process's, and arms that
share it would not give the same weights twice.
"""

import contextvars
import functools
import importlib.util
import multiprocessing
import os
from collections.abc import Callable
from typing import Any

from engine.core.cores import cores
from flows.running import environment, executors, pool
from flows.running.orchestrate import orchestrated
from flows.running.processes import follow_parent


def _processes(workers: int) -> Any:
    from prefect.task_runners import ProcessPoolTaskRunner

    return ProcessPoolTaskRunner(workers, initializer=follow_parent)


def _dask(workers: int) -> Any:
    from prefect_dask import DaskTaskRunner

    return DaskTaskRunner(cluster_kwargs=executors.dask_cluster(workers))


def _ray(workers: int) -> Any:
    local = executors.ray_cluster(workers)
    from prefect_ray import RayTaskRunner

    return RayTaskRunner(init_kwargs=local)


# Prefect's, and the package of each
RUNNERS = {
    "processes": (_processes, "prefect"),
    "dask": (_dask, "prefect_dask"),
    "ray": (_ray, "prefect_ray"),
}


def named_runner() -> tuple[str, int] | None:
    """The runner that TAGDAG_RUNNER names, and its number of processes (default: cores)."""
    environment.check_environment(warn=False)  # all of them, as early
    found = executors.said()
    module = RUNNERS[found[0]][1] if found and orchestrated() else None
    if module and not importlib.util.find_spec(module):
        package = module.replace("_", "-")
        raise ValueError(
            f"TAGDAG_RUNNER={found[0]} with a Prefect server needs {package}: "
            f"uv pip install -c requirements.lock {package}"
        )
    return found


def task_runner() -> Any:
    """Prefect's task runner for a flow that calls `map_task`.

    None is Prefect's default, which is then not used.
    """
    found = named_runner()
    if not found:
        return None
    name, workers = found
    _share_cores(workers)
    return RUNNERS[name][0](workers)


def _share_cores(workers: int) -> None:
    """The processes share the cores; what the user says goes before."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // workers)))


def map_task(
    task: Callable[..., Any],
    many: list[tuple[Any, ...]],
    told: Callable[[int, str], None] = lambda done, name: None,
) -> list[Any]:
    """The task's results for each tuple of arguments, in their order.

    `told(how many, first argument)` as they end.

    The flow has `task_runner=task_runner` and calls this inside `open_pool`: a task is a thread
    then, which waits for what it calls in the pool. An error or a signal ends all tasks; they go on
    from their last states.
    """
    found = named_runner()
    if found and orchestrated():
        return _submitted(task, many, told, kill=found[0] == "processes")
    if found:
        return _spread(task, many, told, found)
    names = [each[0] for each in many]
    # a context each: Prefect keeps the flow run there to which a task belongs
    calls = [functools.partial(contextvars.copy_context().run, task, *each) for each in many]
    opened = pool.current_pool()
    if opened:
        for first in names[:1]:  # the first that ends may take long
            told(0, first)
        return pool.call_in_threads(
            calls, opened.processes, lambda done: told(done, names[min(done, len(names) - 1)])
        )
    results = []
    for name, call in zip(names, calls, strict=True):
        told(len(results), name)
        results.append(call())
    return results


def _spread(
    task: Callable[..., Any],
    many: list[tuple[Any, ...]],
    told: Callable[[int, str], None],
    found: tuple[str, int],
) -> list[Any]:
    """The same without a Prefect server."""
    _share_cores(found[1])
    ended = 0

    def count(place: int) -> None:
        nonlocal ended
        ended += 1
        told(ended, many[place][0])

    for first in many[:1]:  # the first that ends may take long
        told(0, first[0])
    return executors.Executor(*found).map(task.__wrapped__, many, count)


def _submitted(
    task: Callable[..., Any],
    many: list[tuple[Any, ...]],
    told: Callable[[int, str], None],
    kill: bool,
) -> list[Any]:
    """The same by the flow's task runner, with a Prefect server."""
    results = []
    try:
        futures = [task.prefect().submit(*each) for each in many]
        for future, (name, *_) in zip(futures, many, strict=True):
            told(len(results), name)
            results.append(future.result())
    except BaseException:
        if kill:  # the pool would first run what it has queued
            for child in multiprocessing.active_children():
                child.kill()
        raise
    return results
