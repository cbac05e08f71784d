"""Calls that are made again while the service that they need is away: the one retry system.

MLflow (flows/tracking/outage.py) and the storage of a search (flows/searching/storage.py) each have
a `Retry`, which says what waiting mends, for how long it is tried, and how a failure is told.
"""

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from engine.core.environment import value

log = logging.getLogger("tagdag")


def backoff(first: float, longest: float) -> Iterator[float]:
    """Seconds from one try to the next: each time twice as many, up to `longest`."""
    pause = first
    while True:
        yield pause
        pause = min(2 * pause, longest)


class Away(ValueError):
    """A service cannot be reached, which may pass; says how to help it."""


class Outage:
    """Whether a service is away; logged once when it goes and once when it is back."""

    def __init__(self, service: str) -> None:
        self.service = service
        self._since: float | None = None
        self._lock = threading.Lock()  # a process calls one service from many threads

    def begins(self, cause: str, meanwhile: str) -> None:
        """A call failed; `meanwhile` says what becomes of it."""
        with self._lock:
            if self._since is not None:
                return
            self._since = time.monotonic()
        log.warning("%s takes nothing at present (%s): %s", self.service, cause, meanwhile)

    def ends(self) -> None:
        """A call succeeded."""
        with self._lock:
            since, self._since = self._since, None
        if since is not None:
            passed = time.monotonic() - since
            log.warning("%s takes everything again after %.0f s", self.service, passed)


@dataclass(frozen=True)
class Retry:
    """Marks functions that are called again while a service is away: they must bear repeating.

    variable: the environment variable with the seconds that are waited. passing: whether waiting
    may mend an error. cause: an error in short words. failure: what is raised in the place of the
    last error, or that error itself. first, longest: seconds from one try to the next.
    """

    outage: Outage
    variable: str
    passing: Callable[[Exception], bool]
    cause: Callable[[Exception], str]
    failure: Callable[[Exception], Exception]
    first: float
    longest: float

    @property
    def seconds(self) -> float:
        """How long a call is made again."""
        return value(self.variable)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def retried(*args: Any, **kwargs: Any) -> Any:
            deadline = time.monotonic() + self.seconds
            for pause in backoff(self.first, self.longest):
                try:
                    result = function(*args, **kwargs)
                except Exception as error:
                    # not once more where the next try would begin after the deadline
                    if self.passing(error) and time.monotonic() + pause <= deadline:
                        self.outage.begins(self.cause(error), self._meanwhile())
                    else:
                        self._give_up(error)
                else:
                    self.outage.ends()
                    return result
                time.sleep(pause)

        return retried

    def _give_up(self, error: Exception) -> NoReturn:
        failure = self.failure(error)
        if failure is error:
            raise error
        # `from None`: a data base's own error may quote the URL with its password
        raise failure from None

    def _meanwhile(self) -> str:
        return f"waiting {self.seconds:.0f} s at most for it ({self.variable})"
