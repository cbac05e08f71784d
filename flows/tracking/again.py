"""How a Prefect server runs a task again, and how long it lets one run: settings of `task`.

Only an outage is worth another try (MLflow, a data base, an object store, the server itself); a
bug, a wrong setting and a time limit end the run. Without a server nothing is tried again but what
flows/running/retry.py waits for; either way a repeat goes on from the last state.
"""

from typing import Any

from engine.core.environment import value
from flows.running.library_errors import library_of
from flows.running.retry import Away
from flows.tracking.outage import is_away

# exceptions that tell of a connection, by the package that raises them; their packages may not even
# be installed
OUTAGES = {
    "sqlalchemy": {"OperationalError", "InterfaceError", "TimeoutError"},
    "psycopg": {"OperationalError", "InterfaceError"},
    "httpx": {"ConnectError", "ConnectTimeout", "ReadError", "ReadTimeout", "RemoteProtocolError"},
}
CHAIN = 10  # causes of causes


def is_outage(error: BaseException | None) -> bool:
    """Whether a task failed because something was away for a while."""
    for _ in range(CHAIN):
        if error is None:
            return False
        if _outage(error):
            return True
        error = error.__cause__
    return False


def _outage(error: BaseException) -> bool:
    library, name = library_of(error), type(error).__name__
    # Prefect's own time limit is a TimeoutError too
    if library == "prefect":
        return False
    if isinstance(error, Away | ConnectionError | TimeoutError):
        return True
    if library in ("mlflow", "requests", "botocore"):
        return is_away(error)
    return name in OUTAGES.get(library, ())


def may_pass(task: Any, run: Any, state: Any) -> bool:
    """Prefect's question after a failure: is it worth another try?"""
    return is_outage(state.data if isinstance(state.data, BaseException) else None)


def outage_settings() -> dict[str, Any]:
    """Tries after an outage, with pauses that double."""
    tries, first = value("TAGDAG_RETRIES"), value("TAGDAG_RETRY_SECONDS")
    if not tries:
        return {}
    pauses = [first * 2**number for number in range(tries)]
    return {"retries": tries, "retry_delay_seconds": pauses, "retry_condition_fn": may_pass}


def stage_settings() -> dict[str, Any]:
    """The same, and the time limit of a stage."""
    hours = value("TAGDAG_STAGE_HOURS")
    return outage_settings() | ({"timeout_seconds": 3600 * hours} if hours else {})
