"""Trials in a storage that any number of workers share, on one machine or many: no slot lost,
none trained twice.

A study has slots, one for each network. An Optuna trial is one attempt at a slot; the first attempt
that waits, runs or has ended with an outcome holds it. Whoever finds a slot without a holder,
because the worker that had it is dead, queues another attempt; of two that were queued at once the
later one steps back. So no step needs a lock.
"""

import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from flows.searching import deaths
from flows.searching.optuna_private import (
    AWAY,
    ERRORS_OF_OPTIMIZE,
    ended_meanwhile,
    fail_stale,
    hidden_cause,
)
from flows.searching.storage import GRACE, retry, told

log = logging.getLogger("tagdag")

LOST = 3  # so many workers that die of themselves at the same step of a network have died of it
Slot = int | str


class Ended(Exception):
    """A trial's end without a result that is no fault of the search: what it is called in
    tables, and why.
    """

    def __init__(self, outcome: str, reason: str) -> None:
        super().__init__(f"{outcome}: {reason}")
        self.outcome, self.reason = outcome, reason


class StepBack(Exception):
    """Another attempt holds the slot."""


def host() -> str:
    """Where a process id tells who is alive: a machine, on Linux since it was started and in one
    container of it.
    """
    name = [socket.gethostname()]
    boot = Path("/proc/sys/kernel/random/boot_id")
    if boot.exists():
        name += [boot.read_text().strip(), str(Path("/proc/self/ns/pid").readlink())]
    return " ".join(name)


def _me() -> dict[str, Any]:
    born = psutil.Process().create_time()
    return {"host": host(), "pid": os.getpid(), "born": born, "kills": deaths.kills_for_memory()}


def _alive(worker: dict[str, Any]) -> bool:
    try:
        return abs(psutil.Process(worker["pid"]).create_time() - worker["born"]) < 1
    except psutil.NoSuchProcess:
        return False


def outcome(trial: FrozenTrial) -> str | None:
    """How an attempt has ended for good: "complete", "pruned", or what `Ended` called it.

    None if it has not.
    """
    if trial.state == TrialState.FAIL:
        return trial.user_attrs.get("outcome")
    return {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}.get(trial.state)


def holders(trials: list[FrozenTrial]) -> dict[Slot, FrozenTrial]:
    """The attempt that holds each slot; slots whose attempts were all cut short are missing."""
    found: dict[Slot, FrozenTrial] = {}
    for trial in sorted(trials, key=lambda trial: trial.number):
        alive = trial.state in (TrialState.WAITING, TrialState.RUNNING) or outcome(trial)
        if alive and "slot" in trial.user_attrs:
            found.setdefault(trial.user_attrs["slot"], trial)
    return found


@dataclass(frozen=True)
class SlotQueue:
    """What workers do with a study: `wanted(trials)` says which slots there are to be, `train`
    fills one.

    train(trial, slot) returns the objectives' values, or raises Ended or TrialPruned.
    unnamed: running trials without a worker's name, and since when this worker knows of them.
    """

    study: Study
    wanted: Callable[[list[FrozenTrial]], list[Slot]]
    train: Callable[[Trial, Slot], list[float]]
    unnamed: dict[int, float] = field(default_factory=dict)

    def work(self, waiting: Callable[[], None] = lambda: None) -> None:
        """Take slots until all have an outcome.

        `waiting` is called while other workers have the last ones.
        """
        while True:
            try:
                if not self._step(waiting):
                    return
            except ERRORS_OF_OPTIMIZE as error:
                self._forgive(error)

    def _step(self, waiting: Callable[[], None]) -> bool:
        """Train one network, or wait for others; whether there is more to do."""
        trials = self._queue()
        if any(trial.state == TrialState.WAITING for trial in trials):
            self.study.optimize(self._attempt, n_trials=1, catch=(Ended, StepBack))
            return True
        if any(trial.state == TrialState.RUNNING for trial in trials):
            waiting()
            time.sleep(1)
            return True
        return False

    def _forgive(self, error: BaseException) -> None:
        """Go on after what costs no more than one attempt, whose state is kept; raise the rest."""
        cause = hidden_cause(error)
        if isinstance(cause, AWAY):
            text = "the storage of the search did not take a result, trying again: %s"
            log.warning(text, told(cause))
        elif ended_meanwhile(cause):  # it counted as dead in an outage, or stood still
            text = "a trial was given to another worker, which had no sign of life from this one"
            log.warning(text)
        else:
            raise error

    @retry
    def _queue(self) -> list[FrozenTrial]:
        """End the trials of dead workers, queue an attempt at every slot without a holder; the
        trials as they then are.
        """
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if self._dead(trial):
                _fail_dead(self.study, trial)
        # those elsewhere; after those here, of whose death there may be a sign
        fail_stale(self.study)
        trials = self.study.get_trials(deepcopy=False)
        held = holders(trials)
        missing = [slot for slot in self.wanted(trials) if slot not in held]
        for slot in missing:
            self.study.enqueue_trial({}, user_attrs={"slot": slot})
        return self.study.get_trials(deepcopy=False) if missing else trials

    def _dead(self, trial: FrozenTrial) -> bool:
        """Whether the worker of a running trial is known to be gone.

        Of those elsewhere their heartbeats tell.
        """
        worker = trial.user_attrs.get("worker")
        if worker:  # who looks is between two trials itself
            mine = worker["pid"] == os.getpid()
            return worker["host"] == host() and (mine or not _alive(worker))
        # died before it could say its name, by this machine's own clock
        return time.monotonic() - self.unnamed.setdefault(trial.number, time.monotonic()) > GRACE

    def _attempt(self, trial: Trial) -> list[float]:
        note = retry(trial.set_user_attr)
        note("worker", _me())
        trials = retry(self.study.get_trials)(deepcopy=False)
        slot = trial.user_attrs.get("slot")
        if slot is None or holders(trials)[slot].number != trial.number:
            note("stopped", True)
            raise StepBack
        try:
            self._give_up(trials, slot)
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

    def _give_up(self, trials: list[FrozenTrial], slot: Slot) -> None:
        """Ended where the last workers all died of this slot, at the same step, by a fault of
        their own.
        """
        blamed = retry(lambda: self.study.user_attrs)()
        cut = (one for one in trials if one.user_attrs.get("slot") == slot and _was_cut_short(one))
        died = [one for one in cut if _death_key(one.number) in blamed][-LOST:]
        if len(died) == LOST and len({one.user_attrs["at"] for one in died}) == 1:
            step, last = died[-1].user_attrs["at"], blamed[_death_key(died[-1].number)]
            reason = f"{LOST} workers died in it after step {max(step, 0)}, the last one {last}"
            raise Ended("killed its worker", reason)


def _was_cut_short(trial: FrozenTrial) -> bool:
    """Whether the worker of this attempt died in it, after it had begun with the network."""
    known = trial.user_attrs.keys()
    ended = trial.state == TrialState.FAIL and {"worker", "at"} <= known
    return ended and not {"outcome", "stopped"} & known


def _death_key(number: int) -> str:
    """Under which name a study knows that the worker of a trial died of it: a trial that has
    ended takes no more.
    """
    return f"died in trial {number}"


def record_death(study: Study, pid: int, reason: str) -> None:
    """Note that a process of this machine died by a fault of its own, with the attempt that it
    was at.
    """
    mine = []
    for trial in retry(study.get_trials)(deepcopy=False):
        worker = trial.user_attrs.get("worker")
        if worker and (worker["host"], worker["pid"]) == (host(), pid):
            mine.append(trial)
    # only its last one, of a process whose id was that of an earlier one too
    if mine and (mine[-1].state == TrialState.RUNNING or _was_cut_short(mine[-1])):
        retry(study.set_user_attr)(_death_key(mine[-1].number), reason)


def _fail_dead(study: Study, trial: FrozenTrial) -> None:
    worker = trial.user_attrs.get("worker", {})
    reason = deaths.since(worker["kills"]) if "kills" in worker else None
    if reason:
        study.set_user_attr(_death_key(trial.number), reason)
    with contextlib.suppress(UpdateFinishedTrialError, ValueError):  # another worker was faster
        study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
