"""Where the trials of a search are kept: SQLite in a file, or PostgreSQL, waited for while it is
locked or away.
"""

import contextlib
import logging
import os
import re
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from optuna.study import Study, StudyDirection
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from engine.core.environment import value
from flows.running.postgresql import check_release
from flows.running.retry import Away, Outage, Retry
from flows.searching import optuna_private
from flows.searching.optuna_private import AWAY

log = logging.getLogger("tagdag")
optuna.logging.set_verbosity(optuna.logging.ERROR)

BEAT = 20  # seconds between two signs of life of a worker
GRACE = 90  # seconds without a sign of life, until a worker counts as dead
LOCKED = 30  # seconds that SQLite itself waits for another writer
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
    return Away(
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
def _connect(url: str) -> Storage:
    """The storage at a URL as SQLAlchemy writes it."""
    embedded = url.startswith("sqlite")
    if embedded:
        # without an isolation level the driver begins no transaction: `lock_from_begin` does
        arguments = {"timeout": LOCKED, "isolation_level": None}
    else:
        arguments = {"client_encoding": "utf8"}
    # a server may have closed a connection that lay idle for the training of a network
    options = {"connect_args": arguments, "pool_pre_ping": not embedded}
    try:
        with optuna_private.heartbeats_allowed():
            storage = Storage(
                url, engine_kwargs=options, heartbeat_interval=BEAT, grace_period=GRACE
            )
    except RuntimeError as error:
        raise _other_tables(error) from None
    if storage.engine.dialect.name == "postgresql":
        check_release(storage.engine.dialect.server_version_info, "TAGDAG_SEARCH_STORAGE")
    if embedded:
        optuna_private.lock_from_begin(storage)
    return storage


def _other_tables(error: RuntimeError) -> Exception:
    """What is to be done about a base that is not this Optuna's; any other error as it is."""
    if not optuna_private.of_other_tables(error):
        return error
    if optuna_private.of_older_tables(error):
        return ValueError(
            "the storage of the search was made by an older Optuna: copy it, then run `optuna "
            'storage upgrade --storage "$TAGDAG_SEARCH_STORAGE"` (a file: sqlite:///.tagdag/'
            "search/...), or give the search a base of its own"
        )
    return ValueError(
        "the storage of the search is a base that another program uses too, such as MLflow "
        "(both keep a table alembic_version), or a newer Optuna has made it: give it a base of "
        "its own, or take that Optuna"
    )


def _make_tables(file: Path) -> None:
    """Make Optuna's tables in a file that is not there: all of them, or none after a kill.

    They are made beside it and linked to its name. Of two workers that make them at once the first
    one's stay.
    """
    if file.exists() and file.stat().st_size:
        return
    file.unlink(missing_ok=True)  # empty: of a SQLite that was killed before its first table
    new = file.with_suffix(f".{os.getpid()}.new")
    new.unlink(missing_ok=True)
    optuna_private.disconnect(_connect(f"sqlite:///{new}"))
    with contextlib.suppress(FileExistsError):
        os.link(new, file)
    new.unlink()


def _with_driver(url: str) -> str:
    """The URL with psycopg's driver, where it names PostgreSQL without one."""
    named = make_url(url)
    if named.drivername != "postgresql":
        return url
    if "@" in (named.host or ""):
        raise ArgumentError("write an @ within the password as %40")
    return named.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)


def connect(file: Path) -> Storage:
    """The storage that TAGDAG_SEARCH_STORAGE names (postgresql://user@host/base), else SQLite in
    this file; ValueError with cause and fix, and without the password.
    """
    named = value("TAGDAG_SEARCH_STORAGE")
    if not named:
        file.parent.mkdir(parents=True, exist_ok=True)
        _make_tables(file)
    try:
        return _connect(_with_driver(named) if named else f"sqlite:///{file}")
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        if "storage of the search" in str(error):
            raise
        raise ValueError(
            f"TAGDAG_SEARCH_STORAGE: {told(error)}: give postgresql://user@host:port/base"
        ) from None


@retry
def open_study(
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
