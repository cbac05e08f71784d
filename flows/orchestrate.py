"""Flows and tasks that are Prefect's when PREFECT_API_URL is set, and plain functions when it is not.

Prefect has no engine without a server: it would start one in every process (12 to 26 s). So `flow` and `task` keep the
plain function and hand it to Prefect, imported on first use, only where a server was named.
"""

import contextlib
import contextvars
import functools
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

from corpus.names import printable
from flows.prefectauth import authenticate

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
    function: Callable[..., Any] | None = None, *, task_runner: Callable[[], Any] | None = None, **settings: Any
) -> Callable[..., Any]:
    """Mark a flow; `.prefect()` gives Prefect's own object, for deployments. `task_runner()` is called at first use."""

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        named = {"validate_parameters": False, "flow_run_name": function.__name__} | settings
        return _dispatched("flow", function, lambda: named | ({"task_runner": task_runner()} if task_runner else {}))

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


def slug(title: str) -> str:
    """A title as Prefect wants keys: lower case, digits, dashes."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


Show = Callable[[int, int | None, str], None]


def _every(seconds: float, tell: Show) -> Show:
    """`tell` at most so often, at the first call and at the last; the others cost a look at the clock."""
    due = 0.0

    def show(done: int, total: int | None, text: str = "") -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due or done == total:
            due = now + seconds
            tell(done, total, printable(text))  # a file's or a set's name may be in it

    return show


@contextmanager
def _bar(title: str) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    # twice a second: drawing takes half a millisecond, in a thread that shares the interpreter with the training
    with Progress(*columns, *times, console=Console(stderr=True), refresh_per_second=2, transient=True) as bar:
        row = bar.add_task(title, total=None)
        yield lambda done, total, text: bar.update(
            row, completed=done, total=total, description=f"{title} {text}".strip()
        )


@contextmanager
def _lines(title: str) -> Iterator[Show]:
    started, first = time.monotonic(), None

    def tell(done: int, total: int | None, text: str) -> None:
        nonlocal first
        now = time.monotonic()
        first = first or (now, done)  # a run that was taken up again has done part of its work before
        each = (now - first[0]) / (done - first[1]) if done > first[1] else 0
        left = f", {each * (total - done):.0f} s left" if total and each else ""
        print(f"{title} {done}/{total or '?'}, {now - started:.0f} s{left}{text and ': ' + text}", file=sys.stderr)

    yield tell


@contextmanager
def _artifact(title: str) -> Iterator[Show]:
    """A progress artifact in Prefect, from a thread: a call takes up to 0.1 s, and fails while the server is away."""
    updates: SimpleQueue[tuple[float, str] | None] = SimpleQueue()

    def keep() -> None:
        artifact, failed = None, False
        while update := updates.get():
            try:
                from prefect.artifacts import create_progress_artifact, update_progress_artifact

                artifact = artifact or create_progress_artifact(0.0, key=slug(title), description=title)
                update_progress_artifact(artifact, *update)
            except Exception as error:
                if not failed:
                    log.warning("Prefect does not take the progress of %s at present: %s", title, str(error)[:200])
                failed = True

    # in the context of the flow run, to which the artifact belongs
    thread = threading.Thread(
        target=contextvars.copy_context().run, args=(keep,), name=f"{title} artifact", daemon=True
    )
    thread.start()
    try:
        yield lambda done, total, text: total and updates.put((100.0 * done / total, f"{title} {text}".strip()))
    finally:
        updates.put(None)
        thread.join(5)


@contextmanager
def progress(title: str) -> Iterator[Show]:
    """Yield `show(done, total, text="")`: a bar with ETA on a terminal, lines in a log, an artifact in Prefect.

    The workers of a distributed training are in no flow run, and have no artifact.
    It may be called at every step; what it shows is the state of some call in the last seconds, and the end.
    """
    from rich.console import Console

    kinds = [(_bar, 0.5) if Console(stderr=True).is_terminal else (_lines, 10)]
    kinds += [(_artifact, 10)] if orchestrated() and "TORCHELASTIC_RUN_ID" not in os.environ else []
    with contextlib.ExitStack() as stack:
        shown = [_every(seconds, stack.enter_context(kind(title))) for kind, seconds in kinds]

        def show(done: int, total: int | None, text: str = "") -> None:
            for each in shown:
                each(done, total, text)

        yield show
