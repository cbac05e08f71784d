"""Every metric of detection and of panoptic maps beside its authors' code: time and memory.

`python -m benchmarks.metric_speed [ROW ...] [--out]`. Inputs are generated, of the size of COCO's
val2017 (benchmarks/metricspeed/generated.py, panoptic.py, events.py). Ours and theirs read the same
files and give the same number; each runs in a process of its own, in turn, and the faster of two
runs counts. Theirs are the repositories below the folder that METRICS_REFERENCES names, as
<owner>/<name>; a row of one that is not there says so. How many cores: `taskset -c 0` before it.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results/metric_speed.md"
RUNS = 2
SAME = 1e-3  # in percent: how far two numbers of one rule may lie apart
HEAD = "| metric | input | reference | theirs | ours | ratio | memory, theirs | ours | number |"


class Side(NamedTuple):
    """A run: its number in percent, seconds from files to number, peak memory in MiB."""

    value: float
    seconds: float
    memory: float


def measured(row: str, side: str, folder: Path) -> Side | str:
    """A run in a process of its own, or why there is none."""
    command = [sys.executable, "-m", "benchmarks.metric_speed", row, "--side", side]
    best: Side | None = None
    for _ in range(RUNS):
        done = subprocess.run([*command, "--folder", str(folder)], capture_output=True, text=True)
        if done.returncode:
            return done.stderr.strip().splitlines()[-1][:120]
        found = Side(**json.loads(done.stdout.splitlines()[-1]))
        if best is None or found.seconds < best.seconds:
            best = found
    return best


def run_side(row: str, side: str, folder: Path) -> None:
    """Print what a side takes, without its imports, as JSON."""
    from benchmarks.metricspeed.rows import ROWS

    made = ROWS[row]
    ready = made.ours() if side == "ours" else made.theirs()
    before = time.perf_counter()
    with redirect_stdout(StringIO()):
        value = ready(folder)
    seconds = time.perf_counter() - before
    memory = _peak()
    print(json.dumps({"value": float(value), "seconds": seconds, "memory": memory}))


def _peak() -> float:
    """MiB at the most since the process began; ru_maxrss would be that of its parent, if higher."""
    [found] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found) / 1024


def line(row: str, folder: Path) -> str:
    """A row of the table."""
    from benchmarks.metricspeed.rows import ROWS

    made = ROWS[row]
    made.draw(folder)
    ours, theirs = (measured(row, side, folder) for side in ("ours", "theirs"))
    if isinstance(ours, str):
        raise ValueError(f"{row}: {ours}")
    cells: list[Any] = [row, made.size, made.reference]
    own = f"{ours.seconds:.2f} s"
    if isinstance(theirs, str):
        return _row([*cells, theirs, own, "", "", f"{ours.memory:.0f} MiB", f"{ours.value:.4f}"])
    agree = abs(ours.value - theirs.value) < SAME
    number = f"{ours.value:.4f}" + ("" if agree else f", theirs {theirs.value:.4f}")
    ratio = f"{theirs.seconds / ours.seconds:.1f}"
    memory = [f"{theirs.memory:.0f} MiB", f"{ours.memory:.0f} MiB"]
    return _row([*cells, f"{theirs.seconds:.2f} s", own, ratio, *memory, number])


def _row(cells: Sequence[Any]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def table(rows: Sequence[str]) -> str:
    """The whole table, which is printed row by row."""
    cores = len(os.sched_getaffinity(0))
    about = f"{datetime.now(UTC):%Y-%m-%d}, {cores} core{'s' * (cores > 1)}, Python "
    about += f"{sys.version.split()[0]}; ratio: their seconds over ours"
    lines = [about, "", HEAD, "|" + " --- |" * HEAD.count(" | ") + " --- |"]
    print("\n".join(lines), flush=True)
    for row in rows:
        with tempfile.TemporaryDirectory() as folder:
            lines.append(line(row, Path(folder)))
        print(lines[-1], flush=True)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Command line."""
    from benchmarks.metricspeed.rows import ROWS

    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    command.add_argument("--out", action="store_true", help=f"append the table to {RESULTS}")
    command.add_argument("--side", choices=["ours", "theirs"], help=argparse.SUPPRESS)
    command.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = command.parse_args()
    unknown = set(given.rows) - set(ROWS)
    if unknown:
        command.error(f"no row {', '.join(sorted(unknown))}: choose of {', '.join(ROWS)}")
    if given.side:
        run_side(given.rows[0], given.side, given.folder)
        return
    told = table(given.rows or list(ROWS))
    if given.out:
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(f"\n{told}")


if __name__ == "__main__":
    main()
