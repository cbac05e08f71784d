"""What `make repro` and a training step cost on a machine that is quiet, and on one that
somebody else uses too.

    python -m benchmarks.shared_machine [--steps] [--repro] [-S search.trials=2 ...]

Busy: a loop of normal priority on every core. Wall and CPU minutes are those of `python -m
flows.pipeline` in a fresh clone whose data is there, all of its processes counted. A step is that
of the baseline network on random images. Writes benchmarks/results/shared_machine.md. Run it when
nothing else runs.
"""

import argparse
import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import psutil

from benchmarks.clone import checkout, merged, overlaid, override
from engine.core.cores import cores, processor
from engine.core.environment import value

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "benchmarks" / "results" / "shared_machine.md"
PR_SET_CHILD_SUBREAPER = 36  # <sys/prctl.h>
THREADS = {  # of a step; libgomp's own default is to spin 300,000 times before it sleeps
    "one thread": {"OMP_NUM_THREADS": "1"},
    "two, spinning": {"OMP_NUM_THREADS": "2", "GOMP_SPINCOUNT": "300000"},
    "two, passive": {"OMP_NUM_THREADS": "2"},
}
SECONDS = value("TAGDAG_BENCHMARK_SECONDS")  # of steps that are timed
NETWORK = {
    "name": "resnext",
    "depths": [1, 2, 2, 1],
    "cardinality": 4,
    "group_width": 4,
    "width": 12,
    "stem_width": 16,
}


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """So many busy loops, one on each core from the first on."""
    spin = "import os, sys; os.sched_setaffinity(0, {int(sys.argv[1])})\nwhile True: pass"
    places = sorted(os.sched_getaffinity(0))[:count]
    loops = [subprocess.Popen([sys.executable, "-c", spin, str(core)]) for core in places]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def pipeline(work: Path) -> tuple[float, float]:
    """(wall, CPU) minutes of a run, every descendant counted: also those that another one has
    started and left.
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    others = {child.pid for child in psutil.Process().children()}
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMP_", "TAGDAG_"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "flows.pipeline"], cwd=work, env=clean, check=False
    )
    wall = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(done.returncode)
    with_children(30, others)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall / 60, spent / 60


def with_children(seconds: float, but: set[int]) -> None:
    """Wait for descendants that became children of this process, so that the kernel counts their
    time.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        left = [child.pid for child in psutil.Process().children() if child.pid not in but]
        if not left:
            return
        for pid in left:
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.1)


def repro(overlay: dict, kept: Path | None) -> list[str]:
    """Lines on the whole DAG, quiet and busy, and on a run with nothing to do; `kept`: keeps the
    clones.
    """
    rows, again = {}, 0.0
    for name, count in (("quiet", 0), ("busy", cores())):
        with tempfile.TemporaryDirectory(prefix="tagdag-shared-") as folder:
            work = (kept or Path(folder)) / name
            checkout(ROOT, work)
            overlaid(work, overlay)
            subprocess.run([sys.executable, "-m", "flows.version", "restore"], cwd=work, check=True)
            with neighbours(count):  # which outlive the measurement: their time is not counted
                rows[name] = pipeline(work)
            again = again or 60 * pipeline(work)[0]
    ratio = rows["busy"][0] / rows["quiet"][0]
    lines = ["| make repro | wall, min | CPU, min |", "| --- | --- | --- |"]
    lines += [f"| {name} | {wall:.1f} | {spent:.1f} |" for name, (wall, spent) in rows.items()]
    return [
        *lines,
        "",
        f"Busy over quiet: {ratio:.2f} times as long. A second run: {again:.1f} s.",
        "",
    ]


def step(batch: int) -> None:
    """Print the images/s of training steps, as this process's environment has threads."""
    import torch

    from engine.core.network import network
    from engine.training.distributed import ALONE
    from engine.training.loader import Step
    from engine.training.loop import initialise
    from engine.training.recipe import Recipe
    from engine.training.step import Learner, training_views

    initialise(0)
    module = network(NETWORK, {"name": "supervised"}, {"name": "linear"}, classes=10)
    learner = Learner(module, Recipe(batch=batch), ALONE)
    images = torch.randint(256, (batch, 32, 32, 3), dtype=torch.uint8)
    one = Step(0, {"image": images, "label": torch.arange(batch) % 10}, 0, batch, 1.0)
    for _ in range(3):
        learner.step(training_views(module, one, 0), one, [0.01])
    begun, steps, taken = time.perf_counter(), 0, 0.0
    while taken < SECONDS:
        learner.step(training_views(module, one, 0), one, [0.01])
        steps += 1
        taken = time.perf_counter() - begun
    print(steps * batch / taken)


def steps() -> list[str]:
    """Lines on a training step by number and kind of threads, quiet and beside one neighbour."""
    lines = ["| images/s | " + " | ".join(THREADS) + " |", "| --- |" + " --- |" * len(THREADS)]
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMP_", "GOMP_", "KMP_"))
    }
    for batch in (32, 128):
        for name, count in (("quiet", 0), ("one neighbour", 1)):
            found = []
            with neighbours(count):
                for threads in THREADS.values():
                    command = [
                        sys.executable,
                        "-m",
                        "benchmarks.shared_machine",
                        "--one-step",
                        str(batch),
                    ]
                    told = subprocess.run(
                        command,
                        cwd=ROOT,
                        env=clean | threads,
                        check=True,
                        capture_output=True,
                        text=True,
                    )
                    found.append(float(told.stdout))
            lines.append(
                f"| batch {batch}, {name} | "
                + " | ".join(f"{speed:,.0f}" for speed in found)
                + " |"
            )
    return [*lines, ""]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", action="store_true", help="the training step only")
    parser.add_argument("--repro", action="store_true", help="the DAG only")
    parser.add_argument(
        "--work", type=Path, help="an empty folder for the clones, kept (default: for the while)"
    )
    parser.add_argument(
        "-S", dest="settings", action="append", default=[], metavar="section.key=value"
    )
    parser.add_argument("--one-step", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one_step:
        step(given.one_step)
        return
    overlay: dict = {}
    for assignment in given.settings:
        overlay = merged(overlay, override(assignment))
    lines = [
        "# A machine that is shared",
        "",
        f"{date.today()}, {processor()}, {cores()} cores. {overlay or ''}",
        "",
    ]
    lines += steps() if not given.repro else []
    lines += repro(overlay, given.work and given.work.resolve()) if not given.steps else []
    OUT.write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
