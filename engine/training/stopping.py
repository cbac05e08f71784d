"""Ctrl-C and SIGTERM while a network trains: finish the step, keep the state, leave."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# seconds after which a second signal is not the first one's echo and does not wait for the step
IMPATIENT = 2


class Stopped(KeyboardInterrupt):
    """A training that was asked to stop, and has kept its state.

    `signal` is the number of the signal.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.signal = number


class StopSignal:
    """Whether a signal has come: `number` is 0 until then."""

    number, since = 0, 0.0

    def __call__(self, number: int, frame: Any) -> None:
        now = time.monotonic()
        if not self.number:
            self.number, self.since = number, now
        elif now - self.since > IMPATIENT:
            raise Stopped(
                "stopped before the state was kept; the same command goes on from the one before",
                number,
            )


@contextmanager
def stop_signals() -> Iterator[StopSignal]:
    """Catches SIGINT and SIGTERM inside, where Python lets it: in a process's main thread."""
    flag, before = StopSignal(), {}
    if threading.current_thread() is threading.main_thread():
        # what is ignored stays so, as under nohup
        heeded = [
            n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN
        ]
        before = {number: signal.signal(number, flag) for number in heeded}
    try:
        yield flag
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
