"""Prefect's server away in the middle of a run: waited for, and after that done without.

Prefect's own client makes a call again for a while, but none of a new flow or task, and ends the
flow whose state it could not tell: a stage that has trained for hours would be lost to its caller.
Here a flow or task begins when the server answers; one that has ended has ended, whatever the
server was told. When it stays away longer than TAGDAG_PREFECT_PATIENCE, the rest of the process
runs as without a server.
"""

import contextvars
import functools
import logging
import math
import os
import threading
from collections.abc import Callable
from typing import Any

from engine.core.environment import value
from flows.running.retry import Away, Outage, Retry

log = logging.getLogger("tagdag")
ANSWER = 10  # seconds for one answer
_known, _lost = threading.Event(), threading.Event()  # it has answered; it is given up
# of the present call: empty, `begun` once its function has, `result` once it has ended
_ended: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar(
    "ended", default=None
)


def lost() -> bool:
    """Whether this process has given the server up."""
    return _lost.is_set()


def _cause(error: BaseException) -> str:
    return str(error).partition("\n")[0][:200] or type(error).__name__


retry = Retry(
    Outage("Prefect's server"),
    "TAGDAG_PREFECT_PATIENCE",
    lambda error: isinstance(error, Away),
    _cause,
    failure=lambda error: error,
    first=0.5,
    longest=5.0,
)


def _ask() -> None:
    import httpx

    try:
        answer = httpx.get(os.environ["PREFECT_API_URL"].rstrip("/") + "/health", timeout=ANSWER)
    except httpx.TransportError as error:
        raise Away(_cause(error)) from None
    if answer.status_code >= 500:
        raise Away(f"it says {answer.status_code}")
    _known.set()


def _reach() -> None:
    """Away where the server does not answer: at once where it never did, as of a wrong address."""
    if _known.is_set():
        retry(_ask)()
        return
    try:
        _ask()
    except Away as error:
        raise ValueError(
            f"the Prefect server that PREFECT_API_URL names does not answer ({error}): start it "
            "(`tagdag up`), or unset it to run without one"
        ) from None


def prepare() -> None:
    """Before Prefect is imported: its client waits as long as is waited here."""
    # it waits 2, 4, 8 ... seconds
    tries = math.ceil(math.log2(value("TAGDAG_PREFECT_PATIENCE") / 2 + 1))
    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", str(tries))


def noted(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose end is noted for `surviving`."""

    @functools.wraps(function)
    def noting(*args: Any, **kwargs: Any) -> Any:
        mine = _ended.get(None)
        if mine is None:
            return function(*args, **kwargs)
        mine["begun"] = True
        mine.pop("result", None)
        result = function(*args, **kwargs)
        mine["result"] = result
        return result

    return noting


def _of_connection(error: BaseException | None) -> bool:
    """Whether an error tells that the server could not be reached."""
    import httpx

    while error is not None and not isinstance(error, httpx.TransportError):
        error = error.__cause__ or error.__context__
    return error is not None


def _give_up(name: str, error: BaseException) -> None:
    _lost.set()
    log.warning(
        "Prefect's server does not answer (%s): what remains goes on without it; it will show %s "
        "as running",
        _cause(error),
        name,
    )


def surviving(
    call: Callable[..., Any], function: Callable[..., Any], args: tuple, kwargs: dict[str, Any]
) -> Any:
    """Prefect's `call`, or where its server stays away the bare function; its result if it ended.

    function: what `call` runs, without Prefect.
    """
    try:
        _reach()
    except Away as error:
        _give_up("the run", error)
        return function(*args, **kwargs)
    mine: dict[str, Any] = {}
    token = _ended.set(mine)
    try:
        return call(*args, **kwargs)
    except Exception as error:
        if not _of_connection(error) or ("begun" in mine and "result" not in mine):
            raise
        _give_up(function.__name__, error)
    finally:
        _ended.reset(token)
    return mine["result"] if "result" in mine else function(*args, **kwargs)
