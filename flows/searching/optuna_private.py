"""What tagdag relies on in Optuna that Optuna does not promise: tests/flows/searching/
test_optuna_private.py says which of it a new version has changed.

What it promises, if only as an experiment, stands here too where it needs a warning silenced.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.study import Study
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError

# What a storage that is locked or away raises: Optuna wraps some of SQLAlchemy's errors only.
AWAY = (DBAPIError, StorageInternalError)

# `Study.optimize` looks in a `finally` at the state that the trial was given. Where the storage
# went away there is none, and one of these two hides the error that it came from.
ON_THE_WAY_OUT = (AssertionError, UnboundLocalError)

# How the ValueError begins with which `Study.tell` refuses a trial that has ended meanwhile.
ENDED_MEANWHILE = "Cannot tell"

# What the RuntimeError says with which a storage refuses the tables of another program or version.
OTHER_TABLES = "table schema"

# What it says besides where the tables are those of an older Optuna.
UPGRADE = "optuna storage upgrade"

ERRORS_OF_OPTIMIZE = (ValueError, *AWAY, *ON_THE_WAY_OUT)


def hidden_cause(error: BaseException) -> BaseException | None:
    """The error that ended `Study.optimize`, where another one hides it."""
    return error.__context__ if isinstance(error, ON_THE_WAY_OUT) else error


def ended_meanwhile(error: BaseException | None) -> bool:
    """Whether a result was refused because another worker has ended the trial."""
    return str(error).startswith(ENDED_MEANWHILE)


def of_other_tables(error: RuntimeError) -> bool:
    """Whether a data base was refused because its tables are not those of this Optuna."""
    return OTHER_TABLES in str(error)


def of_older_tables(error: RuntimeError) -> bool:
    """Whether an older Optuna made the tables that were refused; of a newer one it says no more
    than of another program.
    """
    return UPGRADE in str(error)


@contextmanager
def heartbeats_allowed() -> Iterator[None]:
    """Without the warning that heartbeats are experimental, which they have been since 2021."""
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        yield


def fail_stale(study: Study) -> None:
    """End the trials of workers that have given no sign of life for the storage's grace period."""
    with heartbeats_allowed():
        fail_stale_trials(study)


def lock_from_begin(storage: RDBStorage) -> None:
    """Let each transaction of SQLite lock the file when it begins, not when it first writes.

    Else two workers read the same trial as waiting, and both take it. It needs a connection with
    `isolation_level: None`.
    """

    @event.listens_for(storage.engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def disconnect(storage: RDBStorage) -> None:
    """Close a storage's connections, so that its file may be given another name."""
    storage.remove_session()
    storage.engine.dispose()
