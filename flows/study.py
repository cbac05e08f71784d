"""Trials in a storage that any number of workers share, on one machine or many: no slot lost, none trained twice.

A study is a plan of slots. An Optuna trial is one attempt at a slot; the first attempt that waits, runs or has
ended with an outcome holds it. Whoever finds a slot without a holder, because the worker that had it is dead, queues
another attempt; of two that were queued at once the later one steps back. So no step needs a lock.
"""

import contextlib
import functools
import logging
import os
import socket
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

log = logging.getLogger("tagdag")
optuna.logging.set_verbosity(optuna.logging.ERROR)

BEAT, GRACE = 20, 90  # seconds between two signs of life of a worker, and without one until it counts as dead
LOCKED = 30  # seconds that SQLite itself waits for another writer
LOST = 8  # so many workers that die at the same step of a network have died of it


Slot = int | str
AWAY = (DBAPIError, StorageInternalError)  # what a storage that is locked or away raises


class Ended(Exception):
    """A trial's end without a result that is no fault of the search: what it is called in tables, and why."""

    def __init__(self, outcome: str, reason: str) -> None:
        super().__init__(f"{outcome}: {reason}")
        self.outcome, self.reason = outcome, reason


class StepBack(Exception):
    """Another attempt holds the slot."""


class Storage(RDBStorage):
    """Optuna's, whose signs of life survive a data base that is away for a while."""

    def record_heartbeat(self, trial_id: int) -> None:
        try:
            super().record_heartbeat(trial_id)
        except (SQLAlchemyError, StorageInternalError) as error:
            log.warning("the storage of the search takes no sign of life: %s", told(error))


def told(error: BaseException) -> str:
    """The driver's own words, without SQL and without what a URL holds."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
    return str(getattr(cause, "orig", None) or cause).strip().splitlines()[0][:200]


def patience() -> float:
    """Seconds to wait for a storage that is locked or away: TAGDAG_STORAGE_PATIENCE, 120 by default."""
    return float(os.environ.get("TAGDAG_STORAGE_PATIENCE", "120"))


def patiently(call: Callable[..., Any]) -> Callable[..., Any]:
    """Repeat the call while the storage is locked or away; ValueError with cause and fix when patience ends."""

    @functools.wraps(call)
    def persistent(*args: Any, **kwargs: Any) -> Any:
        began, pause = time.monotonic(), 0.2
        while True:
            try:
                return call(*args, **kwargs)
            except AWAY as error:
                if time.monotonic() - began > patience():
                    raise ValueError(
                        f"the storage of the search is locked or away ({told(error)}): what was trained is kept; see "
                        "that the data base runs and is writable, then repeat the command"
                    ) from None
                if pause == 0.2:
                    log.warning("the storage of the search is locked or away, waiting for it: %s", told(error))
                time.sleep(pause)
                pause = min(5.0, 2 * pause)

    return persistent


@patiently
def _connected(url: str) -> Storage:
    embedded = url.startswith("sqlite")
    arguments = {"timeout": LOCKED, "isolation_level": None} if embedded else {"client_encoding": "utf8"}
    options = {"connect_args": arguments, "pool_pre_ping": not embedded}
    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):  # heartbeats have been one since 2021
        storage = Storage(url, engine_kwargs=options, heartbeat_interval=BEAT, grace_period=GRACE)
    if embedded:  # without a lock from its start, two workers read the same trial as waiting and both take it
        event.listen(storage.engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return storage


def connected(file: Path) -> Storage:
    """The storage that TAGDAG_SEARCH_STORAGE names (postgresql://user@host/base), or SQLite in this file."""
    named = os.environ.get("TAGDAG_SEARCH_STORAGE")
    if not named:
        file.parent.mkdir(parents=True, exist_ok=True)
    try:
        if named and make_url(named).drivername == "postgresql":
            if "@" in (make_url(named).host or ""):
                raise ArgumentError("write an @ within the password as %40")
            named = make_url(named).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
        return _connected(named or f"sqlite:///{file}")
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        if "locked or away" in str(error):
            raise
        raise ValueError(f"TAGDAG_SEARCH_STORAGE: {told(error)}: give postgresql://user@host:port/base") from None


def host() -> str:
    """Where a process id tells who is alive: a machine, on Linux since it was started and in one container of it."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    kernel = [boot.read_text().strip(), str(Path("/proc/self/ns/pid").readlink())] if boot.exists() else []
    return " ".join([socket.gethostname(), *kernel])


def _me() -> dict[str, Any]:
    return {"host": host(), "pid": os.getpid(), "born": psutil.Process().create_time()}


def _alive(worker: dict[str, Any]) -> bool:
    try:
        return abs(psutil.Process(worker["pid"]).create_time() - worker["born"]) < 1
    except psutil.NoSuchProcess:
        return False


def outcome(trial: FrozenTrial) -> str | None:
    """How an attempt has ended for good: "complete", "pruned", or what `Ended` called it; None if it has not."""
    if trial.state == TrialState.FAIL:
        return trial.user_attrs.get("outcome")
    return {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}.get(trial.state)


def holders(trials: list[FrozenTrial]) -> dict[Slot, FrozenTrial]:
    """The attempt that holds each slot; slots whose attempts were all cut short are missing."""
    found: dict[Slot, FrozenTrial] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        if (trial.state in (TrialState.WAITING, TrialState.RUNNING) or outcome(trial)) and "slot" in trial.user_attrs:
            found.setdefault(trial.user_attrs["slot"], trial)
    return found


@dataclass(frozen=True)
class Plan:
    """What workers do with a study: `wanted(trials)` says which slots there are to be, `train` fills one.

    train(trial, slot) returns the objectives' values, or raises Ended or TrialPruned.
    """

    study: Study
    wanted: Callable[[list[FrozenTrial]], list[Slot]]
    train: Callable[[Trial, Slot], list[float]]
    unnamed: dict[int, float] = field(default_factory=dict)  # running trials without a worker's name, and since when

    def work(self, waiting: Callable[[], None] = lambda: None) -> None:
        """Take slots until all have an outcome; `waiting` is called while other workers have the last ones."""
        while True:
            try:
                trials = self._queue()
                if any(trial.state == TrialState.WAITING for trial in trials):
                    self.study.optimize(self._attempt, n_trials=1, catch=(Ended, StepBack))
                elif any(trial.state == TrialState.RUNNING for trial in trials):
                    waiting()
                    time.sleep(1)
                else:
                    return
            except (ValueError, *AWAY, AssertionError, UnboundLocalError) as error:
                # the last two are Optuna's, on its way out with one of the others
                cause = error.__context__ if isinstance(error, AssertionError | UnboundLocalError) else error
                if isinstance(cause, AWAY):  # the slot's state is kept, and it is taken up again
                    log.warning("the storage of the search did not take a result, trying again: %s", told(cause))
                elif str(cause).startswith("Cannot tell"):  # it counted as dead in an outage, or stood still
                    log.warning("a trial was given to another worker, which had no sign of life from this one")
                else:
                    raise

    @patiently
    def _queue(self) -> list[FrozenTrial]:
        """Bury the dead, queue an attempt at every slot without a holder; the trials as they then are."""
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            fail_stale_trials(self.study)
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self._dead(trial):
                _bury(self.study, trial.number)
        trials = self.study.get_trials(deepcopy=False)
        held = holders(trials)
        missing = [slot for slot in self.wanted(trials) if slot not in held]
        for slot in missing:
            self.study.enqueue_trial({}, user_attrs={"slot": slot})
        return self.study.get_trials(deepcopy=False) if missing else trials

    def _dead(self, trial: FrozenTrial) -> bool:
        """Whether the worker of a running trial is known to be gone; of those elsewhere their heartbeats tell."""
        if worker := trial.user_attrs.get("worker"):  # who looks is between two trials itself
            return worker["host"] == host() and (worker["pid"] == os.getpid() or not _alive(worker))
        # died before it could say its name, by this machine's own clock
        return time.monotonic() - self.unnamed.setdefault(trial.number, time.monotonic()) > GRACE

    def _attempt(self, trial: Trial) -> list[float]:
        note = patiently(trial.set_user_attr)
        note("worker", _me())
        trials = patiently(self.study.get_trials)(deepcopy=False)
        slot = trial.user_attrs.get("slot")
        if slot is None or holders(trials)[slot].number != trial.number:
            note("stopped", True)
            raise StepBack
        try:
            died = [one.user_attrs.get("at", -1) for one in trials if _cut_short(one, slot)]
            if len(died) >= LOST and len(set(died[-LOST:])) == 1:
                raise Ended("killed its worker", f"{LOST} workers died in it after step {died[-1]}: out of memory?")
            return self.train(trial, slot)
        except Ended as ended:
            note("outcome", ended.outcome)
            note("reason", ended.reason)
            raise
        except optuna.TrialPruned:
            raise
        except BaseException:
            note("stopped", True)  # not the network's fault
            raise


def _cut_short(trial: FrozenTrial, slot: Slot) -> bool:
    """Whether this was an attempt at the slot whose worker died."""
    failed = trial.state == TrialState.FAIL and trial.user_attrs.get("slot") == slot
    return failed and "worker" in trial.user_attrs and not {"outcome", "stopped"} & trial.user_attrs.keys()


def _bury(study: Study, number: int) -> None:
    with contextlib.suppress(UpdateFinishedTrialError, ValueError):  # another worker was faster
        study.tell(number, state=TrialState.FAIL, skip_if_finished=True)


@patiently
def opened(storage: Storage, name: str, directions: int, sampler: Any = None, pruner: Any = None) -> Study:
    """The study of this name, made if there is none; every objective is minimised."""
    return optuna.create_study(
        study_name=name,
        storage=storage,
        directions=[StudyDirection.MINIMIZE] * directions,
        sampler=sampler or optuna.samplers.RandomSampler(),
        pruner=pruner or optuna.pruners.NopPruner(),
        load_if_exists=True,
    )
