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
    return max(
        1, min(len(os.sched_getaffinity(0)), *map(int, _quotas(CGROUPS, PROC / "self/cgroup")))
    )


def _quotas(root: Path, own: Path) -> Iterator[float]:
    """Cores' worth of time that the control groups grant which hold this process.

    Infinite where there is no limit.
    """
    yield float(1 << 20)  # no machine has as many
    lines = own.read_text().splitlines() if own.exists() else []
    paths = {
        line.split(":", 2)[1]: line.split(":", 2)[2].lstrip("/")
        for line in lines
        if line.count(":") >= 2
    }
    group = root / paths.get("", "")  # version 2
    for folder in (group, *group.parents):
        if folder.is_relative_to(root) and (file := folder / "cpu.max").exists():
            quota, _, period = file.read_text().partition(" ")
            if quota != "max":
                yield int(quota) / int(period)
    old = next(
        (path for names, path in paths.items() if "cpu" in names.split(",")), ""
    )  # version 1
    for folder in (root / "cpu" / old, root / "cpu"):
        if (file := folder / "cpu.cfs_quota_us").exists() and (quota := int(file.read_text())) > 0:
            yield quota / int((folder / "cpu.cfs_period_us").read_text())
