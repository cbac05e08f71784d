"""Whether a network killed the worker that trained it, by what the kernel and the worker's
parent can tell.

A signal from outside (a person, a scheduler, the end of the stage) says nothing of the network that
was in training, however often it comes. So a death counts against a network only where there is a
sign that it was its own: the kernel has killed for memory meanwhile, or the process broke down, or
it held the memory of the machine.
"""

import os
import signal
from pathlib import Path

import psutil

# what a process brings upon itself; SIGKILL, SIGTERM, SIGINT and SIGHUP come from outside
BROKEN = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)
HALF = (
    0.5  # of its share of the memory, above which a SIGKILL may be that of earlyoom or systemd-oomd
)


def kills_for_memory() -> int:
    """How many processes the kernel has killed for memory since it started.

    0 where it does not say.
    """
    counts = Path("/proc/vmstat")
    lines = counts.read_text().splitlines() if counts.exists() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def memory() -> int:
    """Bytes of memory that all processes here have together: the machine's, or those of a
    container.
    """
    limit = Path("/sys/fs/cgroup/memory.max")
    said = limit.read_text().strip() if limit.exists() else "max"
    whole = psutil.virtual_memory().total
    return min(whole, int(said)) if said.isdecimal() else whole


def own_fault(exitcode: int, peak: int = 0, share: int = 1) -> str | None:
    """Why a process that a signal ended (exit code -n, as subprocess has it) died of its own.

    None if it did not.

    peak: bytes of memory that it had at the most. share: those that it could have had.
    """
    if -exitcode in BROKEN:
        return f"broke down ({signal.Signals(-exitcode).name})"
    if exitcode == -signal.SIGKILL and peak > HALF * share:
        return f"was killed with {peak / 2**30:.1f} GiB of memory"
    return None


def since(kills: int) -> str | None:
    """Why a process is gone that was alive when the kernel's count was `kills`.

    None if the count is the same.
    """
    return "was killed for memory" if kills_for_memory() > kills else None


def reaped(pid: int) -> tuple[int, int] | None:
    """(exit code, peak bytes) of a child that has ended and that nobody has waited for.

    None as long as it runs.

    The peak is never below that of the process that started it: Linux counts from the fork on.
    """
    done, status, usage = os.wait4(pid, os.WNOHANG)
    return (os.waitstatus_to_exitcode(status), 1024 * usage.ru_maxrss) if done else None
