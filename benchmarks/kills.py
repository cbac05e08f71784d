"""Stages killed at random moments and started again: does every one end with the bytes of an
undisturbed run?

    python -m benchmarks.kills [--kills 50] [--seed 0] [--work DIR]

Search, pretrain and finetune run with a small drawn sample in a clone of this repository's HEAD, by
the commands a user gives. Before a run the clone is put back to where the stage had not begun; then
the command is struck up to six times at moments drawn uniformly over its undisturbed time, repeated
each time, and in the end left alone. Compared are all files below the stage's folder of out/, what
it leaves in .tagdag/state, and the tree of its MLflow runs. Exits with 1 where any of them is
another.
"""

import argparse
import hashlib
import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGTERM

import psutil
import torch

from benchmarks.clone import checkout, committed, overlaid, sampled
from engine.measure.profile import device_name

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("search", "pretrain@winner-hashtags", "finetune@scenes")
SMALL = {  # ten to twenty seconds of training each, with one thread
    "corpus": {"min_posts": 5, "holdout": 0.2},
    "search": {"trials": 3, "epochs": 4, "recipe": {"batch": 32}},
    "pretrain": {"*": {"epochs": 20, "recipe": {"batch": 32}}},
    "tasks": {"*": {"labels": [4], "seeds": [0, 1], "epochs": 20, "recipe": {"batch": 16}}},
}
DRIVERS = {"dvc": ("dvc", "repro"), "pipeline": ("flows.pipeline",)}
STRIKES = 6  # of one run, before it is left alone
PATIENCE = 300  # seconds that any command may take
TREE = """
    SELECT runs.run_uuid, above.value, name.value, runs.status FROM runs
    JOIN tags name ON name.run_uuid = runs.run_uuid AND name.key = 'tagdag.run'
    JOIN tags above ON above.run_uuid = runs.run_uuid AND above.key = 'mlflow.parentRunId'
"""


@dataclass(frozen=True)
class Series:
    """How runs are struck: which signal, with how many workers.

    A single worker or the whole command.
    """

    signal: signal.Signals
    strikes: int
    stages: tuple[str, ...] = STAGES
    workers: int = 1
    one: bool = False

    def __str__(self) -> str:
        name = "kill -9" if self.signal == SIGKILL else self.signal.name
        of = (
            f" of {'one' if self.one else 'all'} of {self.workers} workers"
            if self.workers > 1
            else ""
        )
        return name + of


@dataclass
class Blow:
    """One strike: when, in which phase, and how the command left."""

    moment: float
    phase: str
    code: int | None = None
    seconds: float = 0.0  # until it had left
    said: str = ""


@dataclass
class Run:
    """One run of a stage: the strikes, and in what its result is another than the undisturbed
    one's.
    """

    series: Series
    stage: str
    driver: str
    blows: list[Blow] = field(default_factory=list)
    late: int = 0  # moments that the command did not live to see
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Undisturbed:
    """What an undisturbed run of a stage leaves, and the seconds it took."""

    files: dict[str, str]
    tree: Counter[tuple[str, ...]]
    metrics: set[tuple[str, str, int]]
    seconds: float

    @property
    def steps(self) -> int:
        """Of its longest training."""
        return max(step for _, _, step in self.metrics)


# ---- the clone


class Clone:
    """The clone, what it was before each stage, and commands in it."""

    def __init__(self, work: Path, seed: int) -> None:
        self.folder, self.before, self.log = work / "clone", work / "before", work / "log"
        checkout(ROOT, self.folder)
        overlaid(self.folder, SMALL)
        sampled(self.folder)
        committed(self.folder, "small")
        self.draws = random.Random(seed)

    def start(self, stage: str, driver: str, workers: int) -> psutil.Popen:
        """The command on its way, in a process group of its own."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        clean = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("PREFECT_", "MLFLOW_", "TAGDAG_"))
        }
        clean |= {"PATH": path, "OMP_NUM_THREADS": "1", "TAGDAG_CHECKPOINT_SECONDS": "0.3"}
        clean |= {"TAGDAG_WORKERS": str(workers)}
        command = [sys.executable, "-m", *DRIVERS[driver], stage]
        with self.log.open("wb") as log:
            return psutil.Popen(
                command,
                cwd=self.folder,
                env=clean,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, stage: str, driver: str = "dvc", workers: int = 1) -> int:
        """The command from its start to its end; its exit code."""
        return self.start(stage, driver, workers).wait(PATIENCE)

    def rewind(self, stage: str) -> None:
        """Put the folder back to where the stage had not begun.

        Its path stays, since MLflow keeps it.
        """
        shutil.rmtree(self.folder)
        shutil.copytree(self.before / stage, self.folder, symlinks=True)

    def files(self, stage: str) -> dict[str, str]:
        """SHA-256 of all outputs of a stage, and of what it left to go on from."""
        places = self.folder.joinpath("out", *stage.split("@")), self.folder / ".tagdag" / "state"
        files = sorted(path for place in places for path in place.rglob("*") if path.is_file())
        return {
            str(p.relative_to(self.folder)): hashlib.sha256(p.read_bytes()).hexdigest()
            for p in files
        }

    def tree(self) -> Counter[tuple[str, ...]]:
        """(run above, run, status) of every MLflow run below the pipeline's.

        MLflow itself would take seconds.
        """
        with closing(sqlite3.connect(self.folder / "mlflow.db")) as base:
            rows = {key: rest for key, *rest in base.execute(TREE)}
        return Counter(
            (rows[above][1] if above in rows else "", name, status)
            for above, name, status in rows.values()
        )

    def metrics(self) -> set[tuple[str, str, int]]:
        """(run, metric, step) of all that MLflow holds."""
        query = "SELECT runs.name, metrics.key, step FROM metrics JOIN runs USING (run_uuid)"
        with closing(sqlite3.connect(self.folder / "mlflow.db")) as base:
            return set(base.execute(query))

    def states(self, stage: str) -> dict[tuple[str, str], float]:
        """(network, state) that the stage has kept so far, and when."""
        found = (self.folder / ".tagdag" / "state").glob(
            f"{stage.replace('@', '-')}*/**/*.safetensors"
        )
        return {(str(path.parent), path.stem): path.stat().st_mtime for path in found}


# ---- one run


def references(clone: Clone, workers: int) -> dict[str, Undisturbed]:
    """Every stage undisturbed, the clone before it kept for `rewind`."""
    found: dict[str, Undisturbed] = {}
    for stage in STAGES if workers == 1 else STAGES[1:2]:
        if workers == 1:
            shutil.copytree(clone.folder, clone.before / stage, symlinks=True)
        else:
            clone.rewind(stage)
        tree, metrics, start = clone.tree(), clone.metrics(), time.monotonic()
        ended(clone, stage, "dvc", workers)
        seconds = time.monotonic() - start
        found[stage] = Undisturbed(
            clone.files(stage), clone.tree() - tree, clone.metrics() - metrics, seconds
        )
        print(
            f"{stage} undisturbed, {workers} workers: {seconds:.0f} s, {found[stage].steps} steps",
            flush=True,
        )
    return found


def ended(clone: Clone, stage: str, driver: str, workers: int) -> None:
    """Run a command to its end; SystemExit with what it printed where it fails."""
    if clone.run(stage, driver, workers):
        raise SystemExit(f"{stage} failed:\n{clone.log.read_text()[-3000:]}")


def phase(
    clone: Clone, stage: str, before: dict[tuple[str, str], float], whole: Undisturbed
) -> str:
    """How far a command has come, by what it has kept since it started."""
    if clone.files(stage).keys() >= whole.files.keys():
        return "after training"
    states = clone.states(stage)
    new = states.keys() - before.keys()
    if not new:
        return "start-up"
    newest, networks = max(new, key=states.__getitem__)[1], len({network for network, _ in states})
    trained = not newest.isdigit() or int(newest) == whole.steps
    return f"network {networks}, {'evaluation' if trained else f'step {int(newest)}'}"


def strike(clone: Clone, run: Run, whole: Undisturbed) -> Blow | None:
    """Start the command and strike it at a random moment.

    None where it had ended, or had no worker to strike.
    """
    before, moment = clone.states(run.stage), clone.draws.uniform(0, whole.seconds)
    process = clone.start(run.stage, run.driver, run.series.workers)
    try:
        code = process.wait(moment)
    except psutil.TimeoutExpired:
        blow = Blow(moment, phase(clone, run.stage, before, whole))
        return aim(clone, run, process, blow)
    run.late += 1
    run.faults += [f"exit code {code} before any strike"] if code else []
    return None


def aim(clone: Clone, run: Run, process: psutil.Popen, blow: Blow) -> Blow | None:
    """Send the signal, wait for the end."""
    family, start = process.children(recursive=True), time.monotonic()
    if run.series.one:
        workers = [
            child for child in family if "--multiprocessing-fork" in " ".join(child.cmdline())
        ]
        if len(workers) == run.series.workers:
            clone.draws.choice(workers).kill()
        run.late += len(workers) != run.series.workers
        blow.code = shell(process.wait(PATIENCE))
        return blow if len(workers) == run.series.workers else None
    if run.series.signal == SIGKILL:
        os.killpg(process.pid, SIGKILL)
    else:
        process.send_signal(run.series.signal)
    blow.code, blow.seconds = shell(process.wait(PATIENCE)), time.monotonic() - start
    _, alive = psutil.wait_procs(family, 10)
    for child in alive:
        run.faults.append(f"a process outlived its command: {' '.join(child.cmdline()[1:])}")
        child.kill()
    blow.said = next(
        (s for s in clone.log.read_text().splitlines() if "stopped by" in s or "interrupted" in s),
        "",
    )
    return blow


def struck(clone: Clone, series: Series, wholes: dict[str, Undisturbed], strikes: int) -> Run:
    """A stage struck up to so many times, then left alone until it ends, then compared."""
    stage = clone.draws.choice(series.stages)
    driver = "pipeline" if series.signal != SIGKILL else clone.draws.choice(list(DRIVERS))
    run, whole = Run(series, stage, driver), wholes[stage]
    clone.rewind(stage)
    before = clone.tree()
    alive, finished = True, 0
    while alive and len(run.blows) < strikes:
        blow = strike(clone, run, whole)
        run.blows += [blow] if blow else []
        finished += bool(blow) and clone.tree()["", stage, "FINISHED"] > finished
        alive = blow is not None and not series.one
    code = clone.run(stage, driver, series.workers) if alive else 0
    if code:
        run.faults.append(f"exit code {code}: {clone.log.read_text()[-1000:]}")
    files, tree, lost = clone.files(stage), clone.tree() - before, whole.metrics - clone.metrics()
    run.faults += [
        f"{n} differs"
        for n in sorted(files.keys() | whole.files)
        if files.get(n) != whole.files.get(n)
    ]
    run.faults += [f"MLflow lacks {key}" for key in whole.tree - tree]
    # a stage struck after its run had ended, and before DVC had recorded it, rightly runs once more
    more = {
        key: n for key, n in (tree - whole.tree).items() if n > finished or key not in whole.tree
    }
    run.faults += [f"MLflow has {n} more of {key}" for key, n in more.items()]
    run.faults += [f"MLflow lacks {len(lost)} metrics, such as {min(lost)}"] if lost else []
    return run


# ---- the table


def good(series: Series, blow: Blow) -> bool:
    """Whether the command left as it should: after a signal in training, with a message and 128
    + its number.
    """
    if series.signal == SIGKILL:
        return blow.code == (0 if series.one else 128 + SIGKILL)
    # while Python itself starts or ends, nobody is there to say something
    return blow.code == 128 + series.signal and (
        blow.said != "" or blow.phase in ("start-up", "after training")
    )


def sound(run: Run) -> bool:
    """Whether a run came to the undisturbed result, and left each strike as it should."""
    return not run.faults and all(good(run.series, blow) for blow in run.blows)


def shell(code: int) -> int:
    """An exit code as a shell tells it."""
    return code if code >= 0 else 128 - code


def summary(runs: list[Run]) -> list[str]:
    """A line for each stage and signal."""
    head = (
        "stage",
        "signal",
        "strikes",
        "exact continuations",
        "left as they should",
        "slowest to leave",
        "runs",
    )
    lines = ["| " + " | ".join((*head, "drawn too late")) + " |", "|" + " --- |" * (len(head) + 1)]
    for series, stage in dict.fromkeys((run.series, run.stage) for run in runs):
        these = [run for run in runs if (run.series, run.stage) == (series, stage)]
        blows = [blow for run in these for blow in run.blows]
        exact = sum(len(run.blows) for run in these if not run.faults)
        left = sum(good(series, blow) for blow in blows)
        slowest = (
            f"{max((b.seconds for b in blows), default=0):.1f} s"
            if series.signal != SIGKILL
            else "-"
        )
        cells = (
            stage,
            series,
            len(blows),
            exact,
            left,
            slowest,
            len(these),
            sum(run.late for run in these),
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return lines


def single(run: Run) -> str:
    """One run as a line: its strikes and how it ended."""
    blows = []
    for blow in run.blows:
        left = (
            f": left with {blow.code} after {blow.seconds:.1f} s"
            if run.series.signal != SIGKILL
            else ""
        )
        blows.append(f"{blow.moment:.1f} s, {blow.phase}{left}")
    end = "; ".join(run.faults).replace("|", "/").replace("\n", " ") or "exact"
    driver = "dvc repro" if run.driver == "dvc" else "flows.pipeline"
    return f"| {run.stage} | {run.series} | {driver} | {'; '.join(blows) or '-'} | {end} |"


def table(runs: list[Run], wholes: dict[str, Undisturbed], command: str) -> str:
    """The result as Markdown."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "dvc", "mlflow", "optuna"))
    undisturbed = ", ".join(f"{stage} {whole.seconds:.0f} s" for stage, whole in wholes.items())
    said: Counter[str] = Counter()
    for run in runs:
        if run.series.signal != SIGKILL:
            said.update(blow.said.split(" after step")[0] or "nothing" for blow in run.blows)
    messages = ", ".join(f"{count} x {text!r}" for text, count in said.items())
    device = device_name(torch.device("cpu"))
    lines = [
        f"# Kills\n\n{device}; {packages}; {date.today()}; `{command}`\n",
        f"Undisturbed: {undisturbed}. A state every 0.3 s.\n",
        *summary(runs),
        "\nExact: the same bytes in every file below the stage's folder of out/, nothing left over "
        "in .tagdag/state,",
        "the same tree of MLflow runs, all finished, with the metrics of the same steps.",
        f"\nSaid after SIGTERM and SIGINT: {messages}\n",
        "## Each run: seconds after its start and phase of each strike\n",
        "| stage | signal | command | strikes | end |\n| --- | --- | --- | --- | --- |",
        *map(single, runs),
    ]
    return "\n".join(lines) + "\n"


def measured(clone: Clone, plan: list[Series]) -> tuple[list[Run], dict[str, Undisturbed]]:
    """All runs, each told as it ends, and the undisturbed ones of one worker."""
    ended(clone, "corpus", "dvc", 1)
    wholes = {1: references(clone, 1)}
    runs: list[Run] = []
    for series in plan:
        if series.workers not in wholes:
            wholes[series.workers] = references(clone, series.workers)
        done = 0
        while done < series.strikes:
            runs.append(
                struck(clone, series, wholes[series.workers], min(STRIKES, series.strikes - done))
            )
            done += len(runs[-1].blows)
            print(single(runs[-1]), flush=True)
    return runs, wholes[1]


def main() -> None:
    """Strike, compare, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--kills", type=int, default=50, help="of one process; a fifth as many of each other kind"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments, stages and commands")
    parser.add_argument(
        "--work", type=Path, help="an empty folder for the clone, kept (default: one for the while)"
    )
    parser.add_argument("--out", action="store_true", help="write benchmarks/results/kills.md too")
    names = ["SIGKILL", "SIGTERM", "SIGINT"]
    parser.add_argument("--only", nargs="+", default=names, choices=names, help="these signals")
    given = parser.parse_args()
    # else a shell's background job, and what it starts, ignores it
    signal.signal(SIGINT, signal.default_int_handler)
    fifth, training = -(-given.kills // 5), ("pretrain@winner-hashtags",)
    plan = [Series(SIGKILL, given.kills), Series(SIGTERM, fifth), Series(SIGINT, fifth)]
    plan += [
        Series(SIGKILL, -(-fifth * 3 // 5), training, 2),
        Series(SIGKILL, -(-fifth * 2 // 5), training, 2, True),
    ]
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        clone = Clone((given.work or Path(folder)).resolve(), given.seed)
        runs, wholes = measured(
            clone, [series for series in plan if series.signal.name in given.only]
        )
    text = table(
        runs, wholes, f"python -m benchmarks.kills --kills {given.kills} --seed {given.seed}"
    )
    print(text)
    if given.out:
        (ROOT / "benchmarks" / "results" / "kills.md").write_text(text, encoding="utf-8")
    raise SystemExit(not all(sound(run) for run in runs))


if __name__ == "__main__":
    main()
