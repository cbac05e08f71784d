"""What a Prefect server costs: the same small DAG by `dvc repro`, and by the pipeline with and
without a server.

    python -m benchmarks.drivers [--rounds 2] [--targets search] [--out]

Every stage is forced in every run, in a clone of this repository's HEAD with a small drawn sample,
MLflow in its SQLite file. The drivers take turns, the first round is not counted, and the median of
the rounds is stated. Wall seconds of the whole command, imports included: `dvc repro` starts a
process for each stage, the pipeline is one.
"""

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch

from benchmarks.clone import SMALL, checkout, committed, overlaid, sampled
from benchmarks.screens import servers
from benchmarks.services import free_port
from engine.measure.profile import device_name

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "drivers.md"
REPRO = ["-m", "dvc", "repro", "--force"]
PIPELINE = ["-m", "flows.pipeline", "--force"]
STARTED = re.compile(r"^\[\S+\] python -m", re.MULTILINE)  # the pipeline's line for a stage


class Took(NamedTuple):
    """Seconds of a command: on the clock, and of processors by it and all that it started."""

    wall: float
    processor: float


def processor_seconds() -> float:
    """Of all processes that this one has waited for."""
    spent = os.times()
    return spent.children_user + spent.children_system


def timed(work: Path, command: list[str], env: Mapping[str, str]) -> tuple[Took, int]:
    """(seconds, stages that the pipeline tells of) of a command in the clone.

    ValueError with the end of its output if it fails.
    """
    start, before = time.perf_counter(), processor_seconds()
    done = subprocess.run(
        [sys.executable, *command], cwd=work, env=env, capture_output=True, text=True
    )
    if done.returncode:
        raise ValueError(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-3000:]}")
    took = Took(time.perf_counter() - start, processor_seconds() - before)
    return took, len(STARTED.findall(done.stderr))


def measured(
    work: Path, rounds: int, url: str, targets: list[str]
) -> tuple[dict[str, list[Took]], int]:
    """(seconds of each driver, a number for each round; how many stages each ran)."""
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    env = {name: value for name, value in env.items() if name != "PREFECT_API_URL"}
    drivers = {
        "`dvc repro`": (REPRO, env),
        "pipeline, no server": (PIPELINE, env),
        "pipeline, Prefect server": (PIPELINE, env | {"PREFECT_API_URL": url}),
    }
    found: dict[str, list[Took]] = {name: [] for name in drivers}
    stages = 0
    for turn in range(-1, rounds):
        for name, (command, surroundings) in drivers.items():
            took, told = timed(work, [*command, *targets], surroundings)
            stages = max(stages, told)
            print(f"round {turn + 1}: {name}: {took.wall:.1f} s", file=sys.stderr)
            found[name] += [took] if turn >= 0 else []
    return found, stages


def table(found: dict[str, list[Took]], stages: int) -> list[str]:
    """Rows of the table: medians, and what a stage costs more than by `dvc repro`."""
    lines = ["| driver | clock, s | a stage more, s | processors, s | a stage more, s |"]
    lines.append("|" + " --- |" * 5)
    medians = {}
    for name, took in found.items():
        medians[name] = median(each.wall for each in took), median(each.processor for each in took)
    base = medians["`dvc repro`"]
    for name, (wall, processor) in medians.items():
        more = [(wall - base[0]) / stages, (processor - base[1]) / stages]
        lines.append(f"| {name} | {wall:.1f} | {more[0]:+.2f} | {processor:.1f} | {more[1]:+.2f} |")
    alone, server = medians["pipeline, no server"], medians["pipeline, Prefect server"]
    apart = [(b - a) / stages for a, b in zip(alone, server, strict=True)]
    told = f"{apart[0]:+.2f} s a stage on the clock, {apart[1]:+.2f} s of processors"
    return [*lines, "", f"The server alone: {told}, without the server's own process."]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2, help="runs of each driver")
    help_ = "stages, with what they need (default: all)"
    parser.add_argument("--targets", nargs="+", default=[], help=help_)
    parser.add_argument("--out", action="store_true", help=f"write {RESULT.name} too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name) / "clone"
        checkout(ROOT, work)
        overlaid(work, SMALL)
        sampled(work)
        committed(work, "a small DAG")
        # also of the first runs: nothing of theirs lies in the user's own folder
        os.environ["PREFECT_HOME"] = str(Path(name) / "prefect")
        with servers(work, free_port(), free_port()) as urls:
            url = f"{urls['prefect']}/api"
            found, stages = measured(work, options.rounds, url, options.targets)
    machine = f"{device_name(torch.device('cpu'))}, {os.cpu_count()} cores"
    packages = ", ".join(f"{each} {version(each)}" for each in ("prefect", "dvc", "mlflow"))
    load = json.dumps([round(each, 1) for each in os.getloadavg()])
    lines = ["# What a driver costs", "", f"{machine}, load {load}; {packages}; {date.today()};"]
    asked = shlex.join(["python", "-m", "benchmarks.drivers", *sys.argv[1:]])
    lines += [f"`{asked}`; {stages} stages", ""]
    text = "\n".join([*lines, *table(found, stages)]) + "\n"
    print(text)
    if options.out:
        RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
