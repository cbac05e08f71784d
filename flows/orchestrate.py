"""Flows and tasks that are Prefect's when PREFECT_API_URL is set, and plain functions when it is not.

Prefect has no engine without a server: it would start one in every process (12 to 26 s). So `flow` and `task` keep the
plain function and hand it to Prefect, imported on first use, only where a server was named.
"""

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flows.prefectauth import authenticate
from flows.showing import Show, artifact, bar, every, lines, slug

__all__ = ["Show", "flow", "link", "log", "orchestrated", "phase", "progress", "slug", "task"]
log = logging.getLogger("tagdag")


def orchestrated() -> bool:
    """Whether a Prefect server was named."""
    return bool(os.environ.get("PREFECT_API_URL"))


def _dispatched(kind: str, function: Callable[..., Any], settings: Callable[[], dict[str, Any]]) -> Callable[..., Any]:
    @functools.cache
    def prefect_object() -> Any:
        authenticate()
        import prefect

        return getattr(prefect, kind)(function, **settings())

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return prefect_object()(*args, **kwargs) if orchestrated() else function(*args, **kwargs)

    call.prefect = prefect_object
    # what Prefect runs is not what the module calls by this name: the name under which other processes find it
    function.__qualname__ += ".__wrapped__"
    return call


def flow(
    function: Callable[..., Any] | None = None,
    *,
    task_runner: Callable[[], Any] | None = None,
    **settings: Any,
) -> Callable[..., Any]:
    """Mark a flow; `.prefect()` gives Prefect's own object, for deployments. `task_runner()` is called at first use."""

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        named = {"validate_parameters": False, "flow_run_name": function.__name__} | settings
        return _dispatched(
            "flow",
            function,
            lambda: named | ({"task_runner": task_runner()} if task_runner else {}),
        )

    return mark if function is None else mark(function)


def task(function: Callable[..., Any] | None = None, **settings: Any) -> Callable[..., Any]:
    """Mark a task. Prefect caches nothing (DVC is the cache), and arguments are paths, names and small sections."""

    def uncached() -> dict[str, Any]:
        from prefect.cache_policies import NO_CACHE

        return {"cache_policy": NO_CACHE} | settings

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        return _dispatched("task", function, uncached)

    return mark if function is None else mark(function)


def link(key: str, url: str, text: str) -> None:
    """A link on the flow run's page; nothing without a server."""
    if orchestrated():
        from prefect.artifacts import create_link_artifact

        create_link_artifact(link=url, link_text=text, key=key)


def phase(show: Show, before: int, total: int) -> Show:
    """The progress of one loop as a part of longer work: after `before` steps, of `total` of all.

    Several loops one after another then show one number that only rises, and ends at the whole.
    """
    return lambda done, _, text="": show(before + done, total, text)


@contextmanager
def progress(title: str) -> Iterator[Show]:
    """Yield `show(done, total, text="")`: a bar with ETA on a terminal, else lines; and in Prefect.

    The workers of a distributed training are in no flow run, and have no artifact.
    It may be called at every step; what it shows is the state of some call in the last seconds, and
    the end: when the block is left without an error, all is done, and that is the last state. After
    an error the last one stays.
    """
    from rich.console import Console

    kinds = [(bar, 0.5) if Console(stderr=True).is_terminal else (lines, 10)]
    kinds += [(artifact, 10)] if orchestrated() and "TORCHELASTIC_RUN_ID" not in os.environ else []
    last: tuple[int, int | None] | None = None
    with contextlib.ExitStack() as stack:
        shown = [every(seconds, stack.enter_context(kind(title))) for kind, seconds in kinds]

        def show(done: int, total: int | None, text: str = "") -> None:
            nonlocal last
            last = done, total
            for each in shown:
                each(done, total, text)

        yield show
        if last and last[0] != last[1]:
            whole = last[1] or last[0]
            show(whole, whole)
