"""What people are told of a pipeline: how it ended, and a new champion."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flows.running.artifacts import run_page
from flows.running.error_messages import error_message
from flows.running.webhook import notify
from flows.tracking.missing import runs_page


def links() -> dict[str, str]:
    """Addresses by title: the run in Prefect, the runs in MLflow."""
    found = {"prefect": run_page(), "mlflow": runs_page()}
    return {title: address for title, address in found.items() if address}


@contextmanager
def told(pipeline: str, ran: list[str]) -> Iterator[None]:
    """Tell how what is inside ends; `ran`: the stages that have run by then."""
    try:
        yield
    except BaseException as error:
        stopped = not isinstance(error, Exception)
        text = error_message(error) if not stopped else str(error)
        cause = text or type(error).__name__
        event = "stopped" if stopped else "failed"
        notify(event, pipeline, stages=ran, error=cause, links=links())
        raise
    notify("succeeded", pipeline, stages=ran, links=links())


def champion_news(name: str, decision: str, before: Any, now: Any) -> None:
    """Tell of a new champion; the versions are the registry's own, or None."""
    old, new = (str(version.version) if version else None for version in (before, now))
    if new != old:
        champion = {"model": name, "version": new, "before": old, "why": decision}
        notify("champion", "register", champion=champion, links=links())
