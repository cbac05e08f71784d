"""What the machine did while something was measured: whether others had its cores.

Linux tells it in /proc; what is absent there counts as quiet.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

PROC = Path("/proc")
# from these on a machine is busy: shares of the time, and cores used by others
STOLEN, WAITED, LOAD = 0.02, 0.03, 0.25
TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds, in which /proc/stat counts


@dataclass(frozen=True)
class _Moment:
    """Seconds so far: by the clock, of this process, of all cores' work, stolen, without a core."""

    clock: float
    own: float
    busy: float
    stolen: float
    waited: float

    @classmethod
    def now(cls) -> "_Moment":
        busy, stolen = _work(PROC / "stat")
        waited = sum(_waited(task / "schedstat") for task in (PROC / "self/task").glob("*"))
        return cls(time.perf_counter(), time.process_time(), busy, stolen, waited)


def _work(stat: Path) -> tuple[float, float]:
    """Seconds of work on all cores, and those that the host of a virtual machine took away."""
    if not stat.exists():
        return 0.0, 0.0
    # the first line is of all cores together; idle time and time that waits for a disk is no work
    first = stat.read_text().partition("\n")[0]
    user, nice, system, _, _, irq, softirq, steal, *_ = map(int, first.split()[1:])
    return (user + nice + system + irq + softirq) * TICK, steal * TICK


def _waited(schedstat: Path) -> float:
    """Seconds that a thread was ready to run and had no core."""
    try:
        return int(schedstat.read_text().split()[1]) / 1e9
    except (OSError, IndexError):  # the thread has ended, or the kernel keeps no such count
        return 0.0


@contextmanager
def watched() -> Iterator[dict[str, Any]]:
    """What the machine did inside, filled in at the end, as plain values:

    load: cores' worth of work of others. stolen: share of all cores' time that the host gave to
    others. waited: share of the time that this process's threads stood in the queue for a core,
    summed over them. busy: False, or in words which of these was so much that what was timed is not
    to be trusted.
    """
    found: dict[str, Any] = {}
    begun = _Moment.now()
    yield found
    ended, count = _Moment.now(), os.cpu_count() or 1
    seconds = max(ended.clock - begun.clock, 1e-9)
    others = ended.busy - begun.busy - (ended.own - begun.own)
    # as many ticks may be a rounding
    found["load"] = max(0.0, others - 2 * TICK * count) / seconds
    found["stolen"] = max(0.0, ended.stolen - begun.stolen - TICK * count) / seconds / count
    found["waited"] = max(0.0, ended.waited - begun.waited) / seconds
    found["busy"] = _reason(**found)


def _reason(load: float, stolen: float, waited: float) -> str | Literal[False]:
    if stolen > STOLEN:
        return f"the host took {100 * stolen:.0f} % of the time"
    if waited > WAITED:
        return f"waited {100 * waited:.0f} % of the time for a core"
    if load > LOAD:
        return f"other programs used {load:.1f} cores"
    return False
