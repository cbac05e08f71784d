"""Metrics to MLflow without a wait: kept at once, sent every few seconds, through any outage.

MLflow's own asynchronous logging drops a batch that fails. Here a batch that may not have arrived
is sent again, which doubles nothing: MLflow takes a batch in one transaction, and (run, key, time
stamp, step, value) is the primary key of its metrics (SqlMetric in
mlflow/store/tracking/dbmodels/models.py).
"""

import atexit
import functools
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

from flows.running.orchestrate import log
from flows.running.retry import backoff
from flows.tracking import refusals
from flows.tracking.outage import cause_of, is_refusal, outage
from flows.tracking.spool import MetricSpool, Value

BRIEFLY = 5.0  # where a run ends by an error or a signal, which must not wait for MLflow
PERIOD, LONGEST = 2.0, 10.0  # seconds from one sending to the next, and while MLflow is away
BATCH = 1000  # metrics, the most that MLflow takes in one call
LATER = "it is kept and sent later"


class Sender:
    """Brings values to MLflow by `send(run, values)`; one thread keeps them, another sends them."""

    def __init__(self, send: Callable[[str, list[Value]], None], folder: Path) -> None:
        self._send, self.folder, self._process = send, folder, os.getpid()
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._spools: dict[str, MetricSpool] = {}  # of runs with values that were not taken
        self._changed = threading.Condition()  # guards the spools
        self._hurry = threading.Event()
        # two: a `send` that hangs for its 20 s must not hold up the keeping
        for loop in (self._keeping, self._sending):
            threading.Thread(target=loop, name=f"metrics {loop.__name__}", daemon=True).start()
        atexit.register(self._close)

    def put(self, run: str, values: list[Value]) -> None:
        """Log values; returns at once."""
        self._calls.put(functools.partial(self._keep, run, values))

    def adopt(self, run: str) -> None:
        """Send too what earlier processes that were killed have left of a run."""
        with self._changed:
            spool = self._spools.get(run) or MetricSpool(self.folder, run)
            spool.adopt()
            if spool:
                self._spools[run] = spool

    def flush(self, run: str, seconds: float) -> bool:
        """Wait until MLflow has taken all values of a run, `seconds` at most.

        Says whether it has.
        """
        until = time.monotonic() + seconds
        self._kept(seconds)
        self.adopt(run)  # of workers that have ended meanwhile
        self._hurry.set()
        with self._changed:
            return self._changed.wait_for(lambda: run not in self._spools, until - time.monotonic())

    def _close(self) -> None:
        """At the end of a process: what it put comes into the spool, for the end of the run."""
        if os.getpid() == self._process:  # a forked child has no part in these threads
            self._kept(BRIEFLY)

    def _kept(self, seconds: float) -> None:
        reached = threading.Event()
        self._calls.put(reached.set)
        reached.wait(seconds)

    def _keeping(self) -> None:
        while True:
            self._calls.get()()

    def _keep(self, run: str, values: list[Value]) -> None:
        with self._changed:
            try:
                self._spools.setdefault(run, MetricSpool(self.folder, run)).append(values)
            except OSError as error:
                log.warning("metrics are kept in memory only, a kill would lose them: %s", error)

    def _sending(self) -> None:
        pauses = backoff(PERIOD, LONGEST)
        while True:
            self._hurry.wait(next(pauses))
            self._hurry.clear()
            # a copy: the other thread adds runs meanwhile
            answers = [self._sent(run) for run in list(self._spools)]
            errors = [error for error in answers if error is not None]
            if errors:
                outage.begins(cause_of(errors[0]), LATER)
            else:
                outage.ends()
                pauses = backoff(PERIOD, LONGEST)

    def _sent(self, run: str) -> Exception | None:
        """Send what there is of a run.

        Returns why it was not taken, where it may be taken later.
        """
        spool = self._spools[run]
        while spool:
            with self._changed:
                batch = spool.first(BATCH)
            try:
                self._offer(run, batch)  # nothing is locked meanwhile
            except Exception as error:
                return error
            with self._changed:
                spool.taken(len(batch))
                if not spool:
                    del self._spools[run]
                    self._changed.notify_all()
        return None

    def _offer(self, run: str, batch: list[Value]) -> None:
        """Send a batch; one that is refused key by key, and what is refused again is put aside."""
        try:
            self._send(run, batch)
        except Exception as error:
            if not is_refusal(error):
                raise
            keys = dict.fromkeys(key for key, *_ in batch)
            if len(keys) > 1:
                for key in keys:
                    self._offer(run, [value for value in batch if value[0] == key])
            else:
                refusals.keep_refused(self.folder, run, batch, error)
