"""What `tagdag doctor` looks at of the machine: nothing is written, made or downloaded."""

import importlib.metadata
import platform
import re
import shutil
import subprocess
import tempfile
import time
import tomllib
from email.utils import parsedate_to_datetime
from pathlib import Path

from flows.checkup.finding import NOTE, OK, WRONG, Finding
from flows.running import settings

GIB = 1 << 30
LEAST_FREE, GOOD_FREE = 1, 5  # GiB: a stage may fail below the first; .venv alone has 6
LEAST_MEMORY = 4  # GiB: a small pipeline takes 1.6 a process
SKEW = 60  # seconds; S3 refuses requests that are 15 minutes off
LOCKED = re.compile(r"^([\w.-]+)==(\S+)(?: ; (.+?))? \\$", re.MULTILINE)


def python() -> Finding:
    """The interpreter."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if platform.system() != "Linux":
        return Finding(NOTE, found, "tagdag is tried on Linux only")
    return Finding(OK, found)


def locked_versions(lock: Path) -> dict[str, str]:
    """Name and version of each package in a lock file whose marker holds here."""
    from packaging.markers import Marker
    from packaging.utils import canonicalize_name

    found = {}
    for name, version, marker in LOCKED.findall(lock.read_text(encoding="utf-8")):
        if not marker or Marker(marker).evaluate():
            found[canonicalize_name(name)] = version
    return found


def packages() -> Finding:
    """What is installed against requirements.lock, and the bounds of pyproject.toml."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    lock, project = Path("requirements.lock"), Path("pyproject.toml")
    if not lock.is_file() or not project.is_file():
        return Finding(NOTE, "no requirements.lock here to compare with", "run it in a clone")
    there = {
        canonicalize_name(each.metadata["Name"]): each.version
        for each in importlib.metadata.distributions()
    }
    wanted = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    broken = []
    for requirement in map(Requirement, wanted):
        version = there.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            broken.append(f"{requirement} (here: {version or 'missing'})")
    if broken:
        return Finding(WRONG, "; ".join(broken), "make setup")
    others = [
        f"{name} {there.get(name, 'missing')}, locked {version}"
        for name, version in locked_versions(lock).items()
        if there.get(name) != version
    ]
    if others:
        told = f"{len(others)} are others than locked: {'; '.join(others[:3])}"
        return Finding(NOTE, told, "touch requirements.lock && make setup")
    return Finding(OK, f"{len(there)} packages, all as locked")


def processor() -> Finding:
    """Cores, threads and memory."""
    import psutil

    from engine.core.cores import cores

    memory = psutil.virtual_memory()
    told = f"{cores()} cores, {memory.available / GIB:.0f} of {memory.total / GIB:.0f} GiB free"
    if memory.available < LEAST_MEMORY * GIB:
        fix = "end other programs, or run fewer trainings side by side: TAGDAG_ARMS=1"
        return Finding(NOTE, told, fix)
    return Finding(OK, told)


def gpu() -> Finding:
    """Whether torch can use the GPU that there is."""
    if not any(Path(each).exists() for each in ("/dev/nvidia0", "/dev/nvidiactl")):
        return Finding(OK, "none: the CPU computes")
    driver = "unknown"
    if shutil.which("nvidia-smi"):
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=30)
        driver = done.stdout.strip().partition("\n")[0] or "unknown"
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(each) for each in range(torch.cuda.device_count())]
        return Finding(OK, f"{', '.join(names)}; driver {driver}, CUDA {torch.version.cuda}")
    built = torch.version.cuda or "no CUDA"
    told = f"there is one, and torch {torch.__version__} cannot use it (driver {driver})"
    return Finding(WRONG, told, f"install a driver for {built}, or a torch for that driver")


def disk() -> Finding:
    """Room where outputs, caches and temporary files go."""
    places = {
        "this folder": Path.cwd(),
        "temporary files": Path(tempfile.gettempdir()),
    }
    free = {name: shutil.disk_usage(place).free / GIB for name, place in places.items()}
    told = ", ".join(f"{gib:.0f} GiB free for {name}" for name, gib in free.items())
    fix = "free some, or move the clone; `dvc gc --workspace` drops data of old runs"
    if min(free.values()) < LEAST_FREE:
        return Finding(WRONG, told, fix)
    return Finding(NOTE, told, fix) if min(free.values()) < GOOD_FREE else Finding(OK, told)


def clock(dates: list[str]) -> Finding:
    """This machine's clock against the Date of servers that have answered, and its own files."""
    fix = "set it: timedatectl set-ntp true"
    off = [time.time() - parsedate_to_datetime(date).timestamp() for date in dates]
    if off:
        worst = max(off, key=abs)
        told = f"{worst:+.0f} s against the servers that answered"
        return Finding(WRONG, told, fix) if abs(worst) > SKEW else Finding(OK, told)
    files = [
        path for path in (settings.PARAMS, Path("dvc.lock"), Path(".git/HEAD")) if path.exists()
    ]
    ahead = max((path.stat().st_mtime - time.time() for path in files), default=0.0)
    if ahead > SKEW:
        return Finding(WRONG, f"files here were written {ahead:.0f} s in the future", fix)
    return Finding(OK, time.strftime("%Y-%m-%d %H:%M:%S %Z") + "; no server to compare with")
