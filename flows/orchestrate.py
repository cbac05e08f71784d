"""Flows and tasks that are Prefect's when PREFECT_API_URL is set, and plain functions when it is not.

Prefect has no engine without a server: it would start one in every process (12 to 26 s). So `flow` and `task` keep the
plain function and hand it to Prefect, imported on first use, only where a server was named.
"""

import functools
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

log = logging.getLogger("tagdag")


def orchestrated() -> bool:
    """Whether a Prefect server was named."""
    return bool(os.environ.get("PREFECT_API_URL"))


def _dispatched(kind: str, function: Callable[..., Any], settings: dict[str, Any]) -> Callable[..., Any]:
    @functools.cache
    def prefect_object() -> Any:
        import prefect

        return getattr(prefect, kind)(function, **settings)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return prefect_object()(*args, **kwargs) if orchestrated() else function(*args, **kwargs)

    call.prefect = prefect_object
    return call


def flow(function: Callable[..., Any] | None = None, **settings: Any) -> Callable[..., Any]:
    """Mark a flow; `.prefect()` gives Prefect's own object, for deployments."""

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        named = {"validate_parameters": False, "flow_run_name": function.__name__}
        return _dispatched("flow", function, named | settings)

    return mark if function is None else mark(function)


def task(function: Callable[..., Any] | None = None, **settings: Any) -> Callable[..., Any]:
    """Mark a task. Prefect caches nothing (DVC is the cache), and arguments are paths, names and small sections."""

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        call = _dispatched("task", function, settings)

        @functools.wraps(function)
        def uncached(*args: Any, **kwargs: Any) -> Any:
            if orchestrated() and "cache_policy" not in settings:
                from prefect.cache_policies import NO_CACHE

                settings["cache_policy"] = NO_CACHE
            return call(*args, **kwargs)

        return uncached

    return mark if function is None else mark(function)


def link(key: str, url: str, text: str) -> None:
    """A link on the flow run's page; nothing without a server."""
    if orchestrated():
        from prefect.artifacts import create_link_artifact

        create_link_artifact(link=url, link_text=text, key=key)


def slug(title: str) -> str:
    """A title as Prefect wants keys: lower case, digits, dashes."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


@contextmanager
def progress(title: str):
    """Yield `show(done, total, text)`: a bar with ETA on a terminal, lines in a log, an artifact in Prefect."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    started, shown, artifact = time.monotonic(), 0.0, None
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        row = bar.add_task(title, total=None)

        def show(done: int, total: int | None, text: str = "") -> None:
            nonlocal shown, artifact
            bar.update(row, completed=done, total=total, description=f"{title} {text}".strip())
            now = time.monotonic()
            if done != total and now - shown < 10:
                return
            shown = now
            if not console.is_terminal:
                left = f", {(now - started) / max(done, 1) * (total - done):.0f} s left" if total and done else ""
                print(f"{title} {text} {done}/{total or '?'}, {now - started:.0f} s{left}", file=sys.stderr)
            if orchestrated() and total:
                from prefect.artifacts import create_progress_artifact, update_progress_artifact

                if artifact is None:
                    artifact = create_progress_artifact(0.0, key=slug(title), description=title)
                update_progress_artifact(artifact, 100.0 * done / total)

        yield show
