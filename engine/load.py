"""What the machine has, and what it did meanwhile: usable cores; whether others had them while something was measured.

Linux tells it in /proc and /sys/fs/cgroup; what is absent there counts as quiet.
"""

import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def cores() -> int:
    """How many cores this process may use: its affinity, or less where its control group has a quota."""
    return max(1, min(len(os.sched_getaffinity(0)), *map(int, _quotas(CGROUPS, Path("/proc/self/cgroup")))))


def _quotas(root: Path, own: Path) -> Iterator[float]:
    """Cores' worth of time that the control groups grant which hold this process; infinite where there is no limit."""
    yield float(1 << 20)  # no machine has as many
    lines = own.read_text().splitlines() if own.exists() else []
    paths = {line.split(":", 2)[1]: line.split(":", 2)[2].lstrip("/") for line in lines if line.count(":") >= 2}
    group = root / paths.get("", "")  # version 2
    for folder in (group, *group.parents):
        if folder.is_relative_to(root) and (file := folder / "cpu.max").exists():
            quota, _, period = file.read_text().partition(" ")
            if quota != "max":
                yield int(quota) / int(period)
    old = next((path for names, path in paths.items() if "cpu" in names.split(",")), "")  # version 1
    for folder in (root / "cpu" / old, root / "cpu"):
        if (file := folder / "cpu.cfs_quota_us").exists() and (quota := int(file.read_text())) > 0:
            yield quota / int((folder / "cpu.cfs_period_us").read_text())
