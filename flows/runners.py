"""Tasks of a flow side by side, on the Prefect task runner that TAGDAG_RUNNER names; one after the other without it.

`TAGDAG_RUNNER=processes` (or dask, ray; `processes:4` says how many) needs a Prefect server. There are no threads among
them: torch's random generator is the process's, and arms that share it would not give the same weights twice.
"""

import functools
import importlib.util
import multiprocessing
import os
import threading
from collections.abc import Callable
from typing import Any

from flows.orchestrate import orchestrated


def _processes(workers: int) -> Any:
    from prefect.task_runners import ProcessPoolTaskRunner

    return ProcessPoolTaskRunner(workers, initializer=_follow_parent)


def _dask(workers: int) -> Any:
    from prefect_dask import DaskTaskRunner

    local = {"n_workers": workers, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    return DaskTaskRunner(cluster_kwargs=local)


def _ray(workers: int) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from prefect_ray import RayTaskRunner

    return RayTaskRunner(init_kwargs={"num_cpus": workers, "include_dashboard": False, "_node_ip_address": "127.0.0.1"})


RUNNERS = {
    "processes": (_processes, "prefect"),
    "dask": (_dask, "prefect_dask"),
    "ray": (_ray, "prefect_ray"),
}


def _follow_parent() -> None:
    """End this process with the one that started it: after a kill -9 it would go on beside the next run's workers."""
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), name="parent", daemon=True).start()


def named() -> tuple[str, int] | None:
    """The runner that TAGDAG_RUNNER names, and its number of processes: one for each core if it does not say."""
    if not (said := os.environ.get("TAGDAG_RUNNER")):
        return None
    name, _, workers = said.partition(":")
    if name not in RUNNERS or not (workers or "1").isdecimal() or workers == "0":
        raise ValueError(f"TAGDAG_RUNNER={said}: say {', '.join(RUNNERS)}, or how many, as in processes:4")
    if not orchestrated():
        raise ValueError("TAGDAG_RUNNER needs a Prefect server: run `make prefect`, set PREFECT_API_URL, or unset it")
    if not importlib.util.find_spec(module := RUNNERS[name][1]):
        package = module.replace("_", "-")
        raise ValueError(f"TAGDAG_RUNNER={name} needs {package}: uv pip install -c requirements.lock {package}")
    return name, int(workers) if workers else len(os.sched_getaffinity(0))


def runner() -> Any:
    """Prefect's task runner for a flow that calls `gathered`; None is Prefect's default, which is then not used."""
    if not (found := named()):
        return None
    name, workers = found
    # the processes share the cores; what the user says goes before
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // workers)))
    return RUNNERS[name][0](workers)


def gathered(
    task: Callable[..., Any], many: list[tuple[Any, ...]], awaited: Callable[[int, str], None] = lambda done, name: None
) -> list[Any]:
    """The task's results for each tuple of arguments, in their order; `awaited(done, first argument)` before each.

    The flow has `task_runner=runner`. An error or a signal ends all tasks; they go on from their last states.
    """
    found, results = named(), []
    try:
        calls = [task.prefect().submit(*each).result if found else functools.partial(task, *each) for each in many]
        for call, (name, *_) in zip(calls, many, strict=True):
            awaited(len(results), name)
            results.append(call())
    except BaseException:
        if found and found[0] == "processes":  # the pool would first run what it has queued
            for child in multiprocessing.active_children():
                child.kill()
        raise
    return results
