"""How long a command takes to begin: its --help, and each stage's first line of progress.

    python -m benchmarks.startup [--runs 3] [--out]

In a clone of this repository's HEAD with a small drawn sample, on warm caches: the whole DAG once,
then every stage again by `dvc repro --force --single-item`, and all of them by
`python -m flows.pipeline --force`. Seconds are counted from the stage's start as its driver tells
it; what DVC takes before that stands beside it. A stage without progress, register, is timed to its
end.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

from benchmarks.clone import checkout, overlaid, sampled
from benchmarks.kills import ROOT
from engine.core.cores import cores, processor

RESULT = ROOT / "benchmarks" / "results" / "startup.md"
STAGES = ("corpus", "search", "pretrain@baseline-hashtags", "finetune@scenes", "evaluate@scenes")
STAGES += ("register",)
# the network trained as a whole, and no other head
WHOLE = {"heads": {"logistic": None, "knn": None}}
PARAMS = {  # what comes after the first step is not looked at
    "corpus": {"min_posts": 5, "holdout": 0.2},
    "search": {"trials": 1, "epochs": 1},
    "pretrain": {"*": {"epochs": 1}},
    "tasks": {"*": {"labels": [4], "seeds": [0], "epochs": 1} | WHOLE},
    "evaluate": {"runs": 3, "batches": [8], "seconds": 0.05},
}
# a progress line: its title, how far, the seconds so far
STEP = re.compile(r"(?P<title>[a-z][\w /-]*) \d+/(\d+|\?), \d+ s")
BEGINS = re.compile(r"Running stage '(?P<dvc>[\w@-]+)'|\[(?P<ours>[\w@-]+)\] python -m")
TITLES = {"evaluate": ("evaluate", "duplicates"), "corpus": ("corpus", "check data/")}


def environment() -> dict[str, str]:
    """As a person has it who has set nothing."""
    kept = os.environ.items()
    env = {k: v for k, v in kept if not k.startswith(("PREFECT_", "MLFLOW_", "TAGDAG_", "PYTHON"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    return env | {"PATH": path, "OMP_NUM_THREADS": "1"}


def commands() -> list[str]:
    """Modules of flows/ that are commands."""
    flows = ROOT / "flows"
    found = sorted([*flows.glob("*.py"), *(flows / "tools").glob("*.py")])
    return [file.stem for file in found if '__name__ == "__main__"' in file.read_text()]


def helped(name: str, runs: int) -> float:
    """Seconds of a command's --help, the median."""
    taken = []
    for _ in range(runs):
        begun = time.perf_counter()
        command = [sys.executable, "-m", f"flows.{name}", "--help"]
        subprocess.run(command, cwd=ROOT, env=environment(), check=True, capture_output=True)
        taken.append(time.perf_counter() - begun)
    return median(taken)


def lines(folder: Path, *command: str) -> Iterator[tuple[float, str]]:
    """Lines of a command's output with the seconds since its start; SystemExit where it fails."""
    begun, seen = time.perf_counter(), []
    env = environment() | {"PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    for line in process.stdout:
        seen.append(line)
        yield time.perf_counter() - begun, line
    if process.wait():
        raise SystemExit("".join(seen[-30:]))
    yield time.perf_counter() - begun, ""


def first_steps(told: Iterator[tuple[float, str]]) -> dict[str, tuple[float, float]]:
    """(when a stage began, seconds to its first step or, without steps, to its end) by stage."""
    begins: dict[str, float] = {}
    steps: dict[str, float] = {}
    stage = None
    for now, line in told:
        found = BEGINS.search(line)
        if found:
            ended, stage = stage, found["dvc"] or found["ours"]
            begins[stage] = now
            steps.setdefault(ended, now)
        titles = TITLES.get(stage, ((stage or "").replace("@", " "),))
        step = STEP.match(line)
        if step and step["title"] in titles:
            steps.setdefault(stage, now)
        if not line:
            steps.setdefault(stage, now)
    return {name: (began, steps[name] - began) for name, began in begins.items()}


def measured(folder: Path, runs: int) -> dict[str, list[float]]:
    """[DVC before the stage, under DVC, in the pipeline], medians in seconds, by stage."""
    for _ in lines(folder, "dvc", "repro"):
        pass
    dvc: dict[str, list[tuple[float, float]]] = {stage: [] for stage in STAGES}
    ours: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for _ in range(runs):
        for stage in STAGES:
            alone = ("dvc", "repro", "--force", "--single-item", stage)
            dvc[stage].append(first_steps(lines(folder, *alone))[stage])
        found = first_steps(lines(folder, sys.executable, "-m", "flows.pipeline", "--force"))
        for stage in STAGES:
            ours[stage].append(found[stage][1])
    found = {}
    for stage in STAGES:
        before, under = zip(*dvc[stage], strict=True)
        found[stage] = [median(times) for times in (before, under, ours[stage])]
    return found


def report(runs: int, folder: Path) -> str:
    """The tables as Markdown."""
    before = os.getloadavg()[0]
    helps = {name: helped(name, runs) for name in commands()}
    stages = measured(folder, runs)
    packages = ", ".join(f"{name} {version(name)}" for name in ("dvc", "mlflow", "torch"))
    busy = f"load {before:.1f} at the start and {os.getloadavg()[0]:.1f} at the end"
    told = [
        "# Start-up",
        "",
        f"{processor()}, {cores()} cores, {busy}; {packages}; {date.today()}. Medians of {runs}.",
        "",
        "| stage | DVC before it, s | first step under `dvc repro`, s | in the pipeline, s |",
        "| --- | --- | --- | --- |",
        *("| {} | {:.1f} | {:.1f} | {:.1f} |".format(name, *row) for name, row in stages.items()),
        "",
        "First step: the first line of progress after the driver has told that the stage begins;",
        "of register, which has none, its end. The pipeline is one process for all stages.",
        "",
        "| command | --help, s |",
        "| --- | --- |",
        *(f"| `python -m flows.{name}` | {seconds:.2f} |" for name, seconds in helps.items()),
    ]
    return "\n".join(told) + "\n"


def main() -> None:
    """Command line."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--runs", type=int, default=3, help="of each, of which the median is shown")
    parser.add_argument("--out", action="store_true", help=f"write {RESULT.relative_to(ROOT)} too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "clone"
        checkout(ROOT, folder)
        overlaid(folder, PARAMS)
        sampled(folder)
        text = report(given.runs, folder)
    print(text)
    if given.out:
        RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
