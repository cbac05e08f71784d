"""Flows and tasks: Prefect's when PREFECT_API_URL is set, and plain functions when it is not.

Prefect has no engine without a server: it would start one in every process (12 to 26 s). So `flow`
and `task` keep the plain function and hand it to Prefect, imported on first use, only where a
server was named.
"""

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from corpus.progress import Progress
from flows.running import prefectaway
from flows.running.prefect_private import heartbeat_off, name_for_processes
from flows.running.prefectauth import authenticate
from flows.running.showing import artifact, bar, log_lines, slug, throttled

__all__ = [
    "flow",
    "log",
    "orchestrated",
    "progress",
    "slug",
    "task",
    "without_heartbeat",
]
log = logging.getLogger("tagdag")


def orchestrated() -> bool:
    """Whether a Prefect server was named, and has not been given up."""
    # not Prefect's profiles as well: to ask for them is to import its settings, which takes 1.6 s
    return bool(os.environ.get("PREFECT_API_URL")) and not prefectaway.lost()


def _dispatched(
    kind: str, function: Callable[..., Any], settings: Callable[[], dict[str, Any]]
) -> Callable[..., Any]:
    bare = prefectaway.noted(function)

    @functools.cache
    def prefect_object() -> Any:
        # before Prefect is imported, which reads the environment once
        authenticate()
        prefectaway.prepare()
        import prefect

        return getattr(prefect, kind)(bare, **settings())

    @functools.wraps(bare)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not orchestrated():
            return function(*args, **kwargs)
        return prefectaway.surviving(prefect_object(), function, args, kwargs)

    call.prefect = prefect_object
    name_for_processes(bare)
    return call


def flow(
    function: Callable[..., Any] | None = None,
    *,
    task_runner: Callable[[], Any] | None = None,
    **settings: Any,
) -> Callable[..., Any]:
    """Mark a flow; `.prefect()` gives Prefect's own object, for deployments.

    `task_runner()` is called at first use.
    """

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        # flows/cli/command.py has held the arguments to the signature; without a name Prefect
        # invents one
        named = {"validate_parameters": False, "flow_run_name": function.__name__} | settings
        return _dispatched(
            "flow",
            function,
            # called as late as Prefect itself is imported, which a task runner needs
            lambda: named | ({"task_runner": task_runner()} if task_runner else {}),
        )

    return mark if function is None else mark(function)


def task(
    function: Callable[..., Any] | None = None,
    *,
    late: Callable[[], dict[str, Any]] = dict,
    **settings: Any,
) -> Callable[..., Any]:
    """Mark a task; `late()` gives settings that follow from the environment, at first use.

    Prefect caches nothing (DVC is the cache), and arguments are paths, names and small sections.
    """

    def uncached() -> dict[str, Any]:
        from prefect.cache_policies import NO_CACHE

        # DVC is the cache; Prefect's would hash all arguments of every call
        return {"cache_policy": NO_CACHE} | settings | late()

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        return _dispatched("task", function, uncached)

    return mark if function is None else mark(function)


@contextmanager
def without_heartbeat() -> Iterator[None]:
    """Inside, Prefect sends no heartbeats of flow runs, whose end costs each a second."""
    if not orchestrated():
        yield
        return
    authenticate()  # before Prefect is imported, which reads the environment once
    with heartbeat_off():
        yield


class _Steps:
    """How far some work is: loops one after another count together, and the whole only grows."""

    def __init__(self) -> None:
        self.before, self.last = 0, (0, None)

    def at(self, done: int, total: int | None) -> tuple[int, int | None]:
        """(done, total) of all loops so far, by those of the present one.

        A finished one is over.
        """
        finished = self.last[0] == self.last[1]
        if finished and (done, total) != self.last:
            self.before += self.last[0]
        self.last = done, total
        return self.before + done, total and self.before + total

    def end(self) -> tuple[int, int] | None:
        """What completes the present loop; None where it is complete, or none has begun."""
        done, total = self.last
        whole = total or done
        return (whole, whole) if done != total and whole else None


@contextmanager
def progress(title: str) -> Iterator[Progress]:
    """Yield `show(done, total, text="")`: a bar with ETA on a terminal, else lines; and in Prefect.

    It may be called at every step; what it shows is the state of some call in the last seconds, and
    the end: when the block is left without an error, all is done, and that is the last state. After
    an error the last one stays. Where one loop follows another, their steps are counted together.
    """
    from rich.console import Console

    kinds = [(bar, 0.5) if Console(stderr=True).is_terminal else (log_lines, 10)]
    # the workers of a distributed training are in no flow run, to which an artifact could belong
    kinds += [(artifact, 10)] if orchestrated() and "TORCHELASTIC_RUN_ID" not in os.environ else []
    steps = _Steps()
    with contextlib.ExitStack() as stack:
        shown = [throttled(seconds, stack.enter_context(kind(title))) for kind, seconds in kinds]

        def show(done: int, total: int | None, text: str = "") -> None:
            state = steps.at(done, total)
            for each in shown:
                each(*state, text)

        yield show
        end = steps.end()
        if end:
            show(*end)
