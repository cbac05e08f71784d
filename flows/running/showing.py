"""How progress is shown: a bar on a terminal, lines in a log, an artifact in Prefect."""

import contextvars
import logging
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

from corpus.names import printable
from corpus.progress import Progress

log = logging.getLogger("tagdag")

LAST = 15  # seconds that the end of some work waits for Prefect to take its last state


def slug(title: str) -> str:
    """A title as Prefect wants keys: lower case, digits, dashes."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def throttled(seconds: float, tell: Progress) -> Progress:
    """`tell` at most so often, at the first call and at the last; others look at the clock."""
    due = 0.0

    def show(done: int, total: int | None, text: str = "") -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due or done == total:
            due = now + seconds
            tell(done, total, printable(text))  # a file's or a set's name may be in it

    return show


@contextmanager
def bar(title: str) -> Iterator[Progress]:
    """A bar on standard error, with the time that is left."""
    from rich import progress
    from rich.console import Console

    columns = (
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TimeRemainingColumn(),
    )
    # twice a second: drawing takes half a millisecond, in a thread that shares the interpreter
    options = {"refresh_per_second": 2, "transient": True}
    with progress.Progress(*columns, console=Console(stderr=True), **options) as shown:
        row = shown.add_task(title, total=None)
        yield lambda done, total, text: shown.update(
            row, completed=done, total=total, description=f"{title} {text}".strip()
        )


@contextmanager
def log_lines(title: str) -> Iterator[Progress]:
    """Lines on standard error, with the time that is left by the pace so far."""
    started, first = time.monotonic(), (0.0, 0, None)

    def tell(done: int, total: int | None, text: str) -> None:
        nonlocal first
        now = time.monotonic()
        # a run that was taken up again has done part of its work before; the next piece of work of
        # the same title has a pace of its own
        if first[2] is None or total != first[2] or done < first[1]:
            first = (now, done, total)
        each = (now - first[0]) / (done - first[1]) if done > first[1] else 0
        left = f", {each * (total - done):.0f} s left" if total and each else ""
        took = f"{title} {done}/{total or '?'}, {now - started:.0f} s{left}"
        print(took + (text and f": {text}"), file=sys.stderr)

    yield tell


@contextmanager
def artifact(title: str) -> Iterator[Progress]:
    """A progress artifact in Prefect, written by a thread."""
    # by a thread: a call takes 0.1 s, and fails where the server is away
    updates: SimpleQueue[tuple[float, str] | None] = SimpleQueue()
    # in the context of the flow run, to which the artifact belongs
    run, given = contextvars.copy_context().run, (_keep, title, updates)
    thread = threading.Thread(target=run, args=given, name=f"{title} artifact", daemon=True)
    thread.start()

    def tell(done: int, total: int | None, text: str) -> None:
        if total:
            updates.put((100.0 * done / total, f"{title} {text}".strip()))

    try:
        yield tell
    finally:
        updates.put(None)
        thread.join(LAST)


def _keep(title: str, updates: "SimpleQueue[tuple[float, str] | None]") -> None:
    """Bring the newest state to Prefect until there is no more."""
    made, failed = None, False
    update, more = updates.get(), True
    while update:
        # those that came during the last call are skipped but for the newest
        while more and not updates.empty():
            newer = updates.get()
            update, more = newer or update, newer is not None
        try:
            from prefect.artifacts import create_progress_artifact, update_progress_artifact

            made = made or create_progress_artifact(0.0, key=slug(title), description=title)
            update_progress_artifact(made, *update)
        except Exception as error:
            if not failed:
                log.warning(
                    "Prefect does not take the progress of %s at present: %s",
                    title,
                    str(error)[:200],
                )
            failed = True
        update = updates.get() if more else None
