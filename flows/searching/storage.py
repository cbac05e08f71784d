"""Where the trials of a search are kept: SQLite in a file, or PostgreSQL, waited for while it is
locked or away.
"""

import contextlib
import logging
import os
import re
import warnings
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import Study, StudyDirection
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from engine.core.environment import value
from flows.running.retry import Outage, Retry

log = logging.getLogger("tagdag")
optuna.logging.set_verbosity(optuna.logging.ERROR)

BEAT, GRACE = (
    20,
    90,
)  # seconds between two signs of life of a worker, and without one until it counts as dead
LOCKED = 30  # seconds that SQLite itself waits for another writer
AWAY = (DBAPIError, StorageInternalError)  # what a storage that is locked or away raises
# what no waiting mends; psycopg has no SQLSTATE for a connection that fails, so the words tell
REFUSED = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|not permitted to log in"
    r"|(role|database|user) \".*\" does not exist|permission denied|Name or service not known"
    r"|unable to open database file|file is not a database|readonly database|image is malformed"
)


class Storage(RDBStorage):
    """Optuna's, whose signs of life survive a data base that is away for a while."""

    def record_heartbeat(self, trial_id: int) -> None:
        try:
            super().record_heartbeat(trial_id)
        except (SQLAlchemyError, StorageInternalError) as error:
            log.warning("the storage of the search takes no sign of life: %s", told(error))


def told(error: BaseException) -> str:
    """The driver's own words, without SQL and without what a URL holds."""
    cause = (
        error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    )
    return str(getattr(cause, "orig", None) or cause).strip().splitlines()[0][:200]


def refused(error: BaseException) -> bool:
    """Whether a storage will answer the same again, however long one waits."""
    return bool(REFUSED.search(told(error)))


def _failure(error: Exception) -> Exception:
    """What is raised where a call is not made again: of a storage's error, cause and fix."""
    if not isinstance(error, AWAY):
        return error
    if refused(error):
        return ValueError(
            f"the storage of the search does not let us in ({told(error)}): mend "
            "TAGDAG_SEARCH_STORAGE, or without it the access to .tagdag/search; what was trained "
            "is kept"
        )
    return ValueError(
        f"the storage of the search is locked or away ({told(error)}): what was trained is kept; "
        "see that the data base runs and is writable, then repeat the command"
    )


def _passing(error: Exception) -> bool:
    return isinstance(error, AWAY) and not refused(error)


retry = Retry(
    Outage("the storage of the search"),
    "TAGDAG_STORAGE_PATIENCE",
    _passing,
    told,
    failure=_failure,
    first=0.2,
    longest=5.0,
)


@retry
def _connected(url: str) -> Storage:
    embedded = url.startswith("sqlite")
    arguments = (
        {"timeout": LOCKED, "isolation_level": None} if embedded else {"client_encoding": "utf8"}
    )
    options = {"connect_args": arguments, "pool_pre_ping": not embedded}
    with warnings.catch_warnings(
        action="ignore", category=ExperimentalWarning
    ):  # heartbeats have been one since 2021
        try:
            storage = Storage(
                url, engine_kwargs=options, heartbeat_interval=BEAT, grace_period=GRACE
            )
        except RuntimeError as error:
            if "table schema" not in str(error):
                raise
            raise ValueError(
                "the storage of the search is a base that another program uses too, such as MLflow (both keep a "
                "table alembic_version), or another version of Optuna has made it: give it a base of its own"
            ) from None
    if (
        embedded
    ):  # without a lock from its start, two workers read the same trial as waiting and both take it
        event.listen(
            storage.engine,
            "begin",
            lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"),
        )
    return storage


def _made(file: Path) -> None:
    """Make Optuna's tables beside the file and link it to its name: a kill leaves all of them
    there, or none.

    Of two workers that make them at once the first one's stay.
    """
    if file.exists() and file.stat().st_size:
        return
    file.unlink(missing_ok=True)  # empty: of a SQLite that was killed before its first table
    new = file.with_suffix(f".{os.getpid()}.new")
    new.unlink(missing_ok=True)
    storage = _connected(f"sqlite:///{new}")
    storage.remove_session()
    storage.engine.dispose()
    with contextlib.suppress(FileExistsError):
        os.link(new, file)
    new.unlink()


def connected(file: Path) -> Storage:
    """The storage that TAGDAG_SEARCH_STORAGE names (postgresql://user@host/base), or SQLite in
    this file.
    """
    named = value("TAGDAG_SEARCH_STORAGE")
    if not named:
        file.parent.mkdir(parents=True, exist_ok=True)
        _made(file)
    try:
        if named and make_url(named).drivername == "postgresql":
            if "@" in (make_url(named).host or ""):
                raise ArgumentError("write an @ within the password as %40")
            named = (
                make_url(named)
                .set(drivername="postgresql+psycopg")
                .render_as_string(hide_password=False)
            )
        return _connected(named or f"sqlite:///{file}")
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        if "storage of the search" in str(error):
            raise
        raise ValueError(
            f"TAGDAG_SEARCH_STORAGE: {told(error)}: give postgresql://user@host:port/base"
        ) from None


@retry
def opened(
    storage: Storage, name: str, directions: int, sampler: Any = None, pruner: Any = None
) -> Study:
    """The study of this name, made if there is none; every objective is minimised."""
    return optuna.create_study(
        study_name=name,
        storage=storage,
        directions=[StudyDirection.MINIMIZE] * directions,
        sampler=sampler or optuna.samplers.RandomSampler(),
        pruner=pruner or optuna.pruners.NopPruner(),
        load_if_exists=True,
    )
