"""What a process may compute on: the processor, and how many of its cores."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

CGROUPS, PROC = Path("/sys/fs/cgroup"), Path("/proc")


def processor() -> str:
    """The product name of the CPU."""
    cpus = PROC / "cpuinfo"
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def cores() -> int:
    """How many cores this process may use: its affinity, or less by its control group's quota."""
    granted = [int(quota) for quota in _quotas(CGROUPS, PROC / "self/cgroup")]
    # not os.cpu_count(), which is of the machine, whatever a container has of it
    return max(1, min(len(os.sched_getaffinity(0)), *granted))


def _quotas(root: Path, own: Path) -> Iterator[float]:
    """Cores' worth of time that the control groups grant which hold this process.

    Infinite where there is no limit.
    """
    yield float(1 << 20)  # no machine has as many
    lines = own.read_text().splitlines() if own.exists() else []
    # the groups by the controllers that they have, none of them in version 2
    paths = {}
    for line in lines:
        _, _, named = line.partition(":")
        controllers, colon, path = named.partition(":")
        if colon:
            paths[controllers] = path.lstrip("/")
    group = root / paths.get("", "")
    for folder in (group, *group.parents):
        limit = folder / "cpu.max"
        if folder.is_relative_to(root) and limit.exists():
            quota, _, period = limit.read_text().partition(" ")
            if quota != "max":
                yield int(quota) / int(period)
    # version 1; inside a container the root itself is the group
    old = next((path for names, path in paths.items() if "cpu" in names.split(",")), "")
    for folder in (root / "cpu" / old, root / "cpu"):
        limit = folder / "cpu.cfs_quota_us"
        quota = int(limit.read_text()) if limit.exists() else -1
        if quota > 0:
            yield quota / int((folder / "cpu.cfs_period_us").read_text())
