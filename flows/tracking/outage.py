"""MLflow away, locked or overloaded: what is waited out, how long, and what waiting does not
mend.
"""

import functools
import time
from collections.abc import Callable
from typing import Any

from engine.core.environment import value
from flows.running import sqlite
from flows.running.orchestrate import log

# of SQLite's errors, which MLflow all takes for an outage, those that waiting does not mend
LASTING = ("readonly database", "no such table", "no such column", "out-of-date database schema")
REFUSED = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST", "INVALID_STATE")
LONGEST = 10.0  # seconds from one try to the next
WAITING = "waiting {:.0f} s at most for it (TAGDAG_MLFLOW_PATIENCE)"


def patience() -> float:
    """Seconds that the beginning and the end of a run wait for MLflow while it is away."""
    return value("TAGDAG_MLFLOW_PATIENCE")


class Away(ValueError):
    """MLflow cannot be reached, which may pass; says how to help it."""


class Outage:
    """Whether MLflow is away; told once when it goes and once when it is back."""

    def __init__(self) -> None:
        self._since: float | None = None

    def begins(self, error: Exception, meanwhile: str) -> None:
        """A call failed; `meanwhile` says what becomes of it."""
        if self._since is None:
            self._since = time.monotonic()
            cause = str(error).partition("\n")[0][:300]
            log.warning("MLflow takes nothing at present (%s): %s", cause, meanwhile)

    def ends(self) -> None:
        """Calls succeed."""
        if self._since is not None:
            log.warning(
                "MLflow takes everything again after %.0f s", time.monotonic() - self._since
            )
            self._since = None


outage = Outage()


def away(error: Exception) -> bool:
    """Whether a call failed because MLflow is away or overloaded, not because it refused."""
    if isinstance(error, Away):
        return True
    if type(error) is ValueError:  # ours, said once and for all
        return False
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    if any(words in str(error) for words in (*LASTING, *sqlite.DAMAGED)):
        return False
    if isinstance(error, MlflowException):
        return error.get_http_status_code() >= 500 or error.get_http_status_code() == 429
    answer = getattr(error, "response", None)
    return isinstance(error, RequestException) and (answer is None or answer.status_code >= 500)


def refusal(error: Exception) -> bool:
    """Whether MLflow took a call and refused what it said, now and for ever."""
    from mlflow.exceptions import MlflowException

    final = isinstance(error, MlflowException) and error.error_code in REFUSED
    return final and not any(words in str(error) for words in sqlite.DAMAGED)


def patient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a function that is called again, while MLflow is away and there is `patience()`: it
    must bear repeating.
    """

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        until, pause = time.monotonic() + patience(), 1.0
        while True:
            try:
                result = function(*args, **kwargs)
            except Exception as error:
                if not away(error) or time.monotonic() + pause > until:
                    if damaged := sqlite.damage(error, "MLflow's data base"):
                        raise ValueError(damaged) from error
                    raise
                outage.begins(error, WAITING.format(patience()))
            else:
                outage.ends()
                return result
            time.sleep(pause)
            pause = min(2 * pause, LONGEST)

    return call
