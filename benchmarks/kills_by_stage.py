"""Every stage of the DAG killed at random moments, first seconds included: is the end that of an
undisturbed run?

    python -m benchmarks.kills_by_stage [--kills 60] [--seed 0] [--out]

corpus, search, pretrain, finetune, evaluate, register and `version add` take turns, in a clone of
this repository's HEAD with a small drawn sample. Before each run the clone is put back to where the
stage had not begun. Its command (dvc repro and the Prefect flow by turns; the search on SQLite and
on PostgreSQL) is killed -9 with all its processes, up to four times, every other time within its
first seconds, and then left alone. Compared are all bytes below the stage's folder of out/ (below
data/ for an import), what is left in .tagdag/state, the tree of MLflow runs with their states, and
the registry; of evaluate's records not what a clock gave. Exits with 1 where anything is another.
"""

import argparse
import hashlib
import itertools
import json
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
from typing import Any

import numpy as np
import psutil
import psycopg
from PIL import Image

from benchmarks.clone import checkout, committed, overlaid, sampled
from benchmarks.kills import PATIENCE, ROOT, SMALL
from benchmarks.postgres import Postgres, postgres

RESULT = ROOT / "benchmarks" / "results" / "kills_by_stage.md"
IMPORT = "version add"
PRETRAIN, TUNE, TEST = "pretrain@winner-hashtags", "finetune@scenes", "evaluate@scenes"
STAGES = ("corpus", "search", PRETRAIN, TUNE, TEST, "register", IMPORT)
# made once, so that what comes after has what it needs
BEFORE = ("pretrain@baseline-hashtags",)
PARAMS = SMALL | {
    "tasks": {"*": {"labels": [4], "seeds": [0, 1], "epochs": 6, "recipe": {"batch": 16}}},
    "evaluate": {"runs": 3, "batches": [8], "seconds": 0.05},
}
STRIKES = 4  # of one run, before it is left alone
FIRST = 4.0  # seconds: of every other strike
POSTS = 120  # of an import
MEASURED = (
    "_ms",
    "_per_second",
    "load",
    "stolen",
    "waited",
    "busy",
    "runs",
    "costs",
    "latency",
    "measured",
)

RUNS = "SELECT run_uuid, status FROM runs WHERE lifecycle_stage = 'active'"
TAGS = "SELECT run_uuid, key, value FROM tags WHERE key IN ('tagdag.run', 'mlflow.parentRunId')"
REGISTRY = {
    "version": "SELECT name, version, current_stage, status FROM model_versions",
    "alias": "SELECT name, alias, version FROM registered_model_aliases",
    "model": "SELECT name, status FROM logged_models",
}


@dataclass
class Run:
    """One run of a stage: its driver and back end, the moments of its kills, and what differs in
    the end.
    """

    stage: str
    driver: str
    storage: str
    moments: list[float] = field(default_factory=list)
    late: int = 0  # moments that the command did not live to see
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class State:
    """What a stage leaves: SHA-256 by file, MLflow runs by (above, name, status), rows of the
    registry.
    """

    files: dict[str, str]
    tree: Counter[tuple[str, ...]]
    registry: Counter[tuple[str, ...]]

    def differences(self, other: "State") -> list[str]:
        """In what the other one is another; empty where both are the same."""
        names = sorted(self.files.keys() | other.files.keys())
        found = [
            f"{name} differs" for name in names if self.files.get(name) != other.files.get(name)
        ]
        for what in ("tree", "registry"):
            mine, theirs = getattr(self, what), getattr(other, what)
            found += [f"MLflow lacks {row}" for row in mine - theirs]
            found += [f"MLflow has more of {row}" for row in theirs - mine]
        return found


def timed(key: str) -> bool:
    """Whether a number of this name is one that a clock gave."""
    return any(word in key for word in MEASURED)


def timeless(value: Any) -> Any:
    """JSON without the numbers that a clock gave."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if not timed(key)}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def hashed(file: Path) -> str:
    """SHA-256 of a file; of evaluate's JSON, of what no clock gave."""
    content = file.read_bytes()
    if file.suffix == ".json" and "evaluate" in file.parts:
        content = json.dumps(timeless(json.loads(content)), sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def photographs(folder: Path) -> None:
    """A small table of posts with noise for images: what `version add` imports."""
    folder.mkdir(parents=True)
    draws = np.random.default_rng(0)
    lines = ["image,hashtags,id"]
    for number in range(POSTS):
        pixels = draws.integers(0, 256, (48, 48, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg")
        lines.append(f"{number}.jpg,#sunset #beach{number % 7},{number}")
    (folder / "damaged.jpg").write_bytes((folder / "0.jpg").read_bytes()[:200])
    # what is refused is compared too
    lines += ["damaged.jpg,#x,damaged", "gone.jpg,#x,gone", "1.jpg,#again,2"]
    (folder / "posts.csv").write_text("\n".join(lines) + "\n")


class Clone:
    """The clone, what it was before each stage, and commands in it."""

    def __init__(self, work: Path, server: Postgres) -> None:
        self.folder, self.before, self.log, self.server = (
            work / "clone",
            work / "before",
            work / "log",
            server,
        )
        checkout(ROOT, self.folder)
        overlaid(self.folder, PARAMS)
        sampled(self.folder)
        committed(self.folder, "small")
        photographs(work / "photographs")

    def command(self, stage: str, driver: str) -> list[str]:
        """What a user types."""
        if stage == IMPORT:
            table = self.folder.parent / "photographs" / "posts.csv"
            return [sys.executable, "-m", "flows.version", "add", "--posts", str(table)]
        module = {"dvc repro": ("dvc", "repro"), "flows.pipeline": ("flows.pipeline",)}[driver]
        return [sys.executable, "-m", *module, stage]

    def start(self, stage: str, driver: str, storage: str = "SQLite") -> psutil.Popen:
        """The command on its way, in a process group of its own."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        env = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("PREFECT_", "MLFLOW_", "TAGDAG_"))
        }
        env |= {"PATH": path, "TAGDAG_CHECKPOINT_SECONDS": "0.3", "OMP_NUM_THREADS": "1"}
        if storage == "PostgreSQL":
            env["TAGDAG_SEARCH_STORAGE"] = self.server.url
        with self.log.open("wb") as log:
            return psutil.Popen(
                self.command(stage, driver),
                cwd=self.folder,
                env=env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, stage: str, driver: str = "dvc repro", storage: str = "SQLite") -> int:
        """The command from its start to its end; its exit code."""
        return self.start(stage, driver, storage).wait(PATIENCE)

    def kept(self, stage: str) -> None:
        """Remember the folder as it is before a stage."""
        shutil.copytree(self.folder, self.before / stage, symlinks=True)

    def rewind(self, stage: str) -> None:
        """Put the folder back to where the stage had not begun.

        Its path stays, since MLflow keeps it.
        """
        shutil.rmtree(self.folder)
        shutil.copytree(self.before / stage, self.folder, symlinks=True)
        with psycopg.connect(self.server.url, autocommit=True) as base:
            base.execute("DROP SCHEMA public CASCADE")
            base.execute("CREATE SCHEMA public")

    def state(self, stage: str) -> State:
        """What the stage has left."""
        own = self.folder.joinpath("out", *stage.split("@"))
        places = [own, self.folder / ".tagdag" / "state"]
        if stage == IMPORT:
            places = [self.folder / "data", self.folder / "data.dvc"]
        files = [place for place in places if place.is_file()]
        files += [path for place in places for path in place.rglob("*") if path.is_file()]
        with closing(sqlite3.connect(self.folder / "mlflow.db")) as base:
            status = dict(base.execute(RUNS))
            tags = {(run, key): value for run, key, value in base.execute(TAGS)}
            rows = [
                (kind, *map(str, row))
                for kind, query in REGISTRY.items()
                for row in base.execute(query)
            ]
        names = {run: tags.get((run, "tagdag.run"), "top") for run in status}
        above = {run: names.get(tags.get((run, "mlflow.parentRunId")), "") for run in status}
        tree = Counter((above[run], names[run], status[run]) for run in status)
        return State(
            {str(p.relative_to(self.folder)): hashed(p) for p in sorted(files)}, tree, Counter(rows)
        )


def ended(clone: Clone, stage: str) -> float:
    """Run a command to its end; its seconds. SystemExit with what it printed where it fails."""
    begun = time.monotonic()
    if clone.run(stage):
        raise SystemExit(f"{stage} failed:\n{clone.log.read_text()[-3000:]}")
    return time.monotonic() - begun


def undisturbed(clone: Clone) -> tuple[dict[str, State], dict[str, float]]:
    """What every stage leaves when nobody kills it, and its seconds.

    The clone before each is kept.
    """
    states: dict[str, State] = {}
    seconds: dict[str, float] = {}
    order = (
        "corpus",
        "search",
        *BEFORE,
        PRETRAIN,
        TUNE,
        TEST,
        "register",
    )
    for stage in (*order, IMPORT):
        clone.kept(stage)
        seconds[stage] = ended(clone, stage)
        states[stage] = clone.state(stage)
        print(f"{stage} undisturbed: {seconds[stage]:.0f} s", flush=True)
    return states, seconds


def killed(clone: Clone, run: Run, moment: float) -> bool:
    """Start the command and kill it and all its processes at a moment.

    False where it had ended by then.
    """
    process = clone.start(run.stage, run.driver, run.storage)
    try:
        code = process.wait(moment)
    except psutil.TimeoutExpired:
        family = process.children(recursive=True)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)
        _, alive = psutil.wait_procs(family, 10)
        for child in alive:
            run.faults.append(
                f"a process outlived its command: {' '.join(child.cmdline()[1:])[:200]}"
            )
            child.kill()
        run.moments.append(moment)
        return True
    run.late += 1
    if code:
        run.faults.append(f"exit code {code} before any kill: {clone.log.read_text()[-600:]}")
    return False


def struck(
    clone: Clone, run: Run, whole: State, seconds: float, draws: random.Random, kills: int
) -> Run:
    """A stage killed up to so many times, then left alone until it ends, then compared."""
    clone.rewind(run.stage)
    for number in range(kills):
        limit = FIRST if number % 2 else seconds
        if not killed(clone, run, draws.uniform(0, min(limit, seconds))):
            break
    code = clone.run(run.stage, run.driver, run.storage)
    if code:
        run.faults.append(f"exit code {code}: {clone.log.read_text()[-1000:]}")
    run.faults += whole.differences(clone.state(run.stage))
    return run


def measured(clone: Clone, kills: int, seed: int) -> tuple[list[Run], dict[str, float]]:
    """Runs of the stages in turn until there were so many kills of each."""
    states, seconds = undisturbed(clone)
    draws, runs = random.Random(seed), []
    each = -(-kills // len(STAGES))
    for stage in STAGES:
        drivers, storages = (
            itertools.cycle(("dvc repro", "flows.pipeline")),
            itertools.cycle(("SQLite", "PostgreSQL")),
        )
        done = 0
        while done < each:
            storage = next(storages) if stage == "search" else "SQLite"
            driver = "flows.version" if stage == IMPORT else next(drivers)
            run = struck(
                clone,
                Run(stage, driver, storage),
                states[stage],
                seconds[stage],
                draws,
                min(STRIKES, each - done),
            )
            runs.append(run)
            done += len(run.moments)
            print(single(run), flush=True)
    return runs, seconds


def single(run: Run) -> str:
    """One run as a line of the table."""
    moments = ", ".join(f"{moment:.1f}" for moment in run.moments)
    end = "; ".join(run.faults).replace("|", "/").replace("\n", " ") or "exact"
    storage = run.storage if run.stage == "search" else "-"
    return f"| {run.stage} | {run.driver} | {storage} | {moments or '-'} | {end} |"


def table(runs: list[Run], seconds: dict[str, float], command: str) -> str:
    """The result as Markdown."""
    lines = [
        "| stage | kills | in the first 4 s | exact | runs | undisturbed, s |",
        "|" + " --- |" * 6,
    ]
    for stage in STAGES:
        these = [run for run in runs if run.stage == stage]
        kills = sum(len(run.moments) for run in these)
        early = sum(moment <= FIRST for run in these for moment in run.moments)
        exact = sum(len(run.moments) for run in these if not run.faults)
        lines.append(
            f"| {stage} | {kills} | {early} | {exact} | {len(these)} | {seconds[stage]:.0f} |"
        )
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "dvc", "mlflow", "optuna"))
    head = f"# Kills by stage\n\n{os.cpu_count()} cores; {packages}; {date.today()}; `{command}`\n"
    about = [
        "\nExact: bytes, MLflow runs and registry as undisturbed (of evaluate's records, what no "
        "clock gave).\n",
        "## Each run: seconds from its start to each kill\n",
        "| stage | command | search storage | kills at | end |\n| --- | --- | --- | --- | --- |",
    ]
    return "\n".join([head, *lines, *about, *map(single, runs)]) + "\n"


def main() -> None:
    """Kill, compare, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--kills", type=int, default=60, help="in all, spread evenly over the stages"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument(
        "--work", type=Path, help="an empty folder for the clone, kept (default: one for the while)"
    )
    parser.add_argument("--out", action="store_true", help=f"write {RESULT.relative_to(ROOT)} too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, postgres() as server:
        work = (given.work or Path(folder)).resolve()
        runs, seconds = measured(Clone(work, server), given.kills, given.seed)
    text = table(
        runs,
        seconds,
        f"python -m benchmarks.kills_by_stage --kills {given.kills} --seed {given.seed}",
    )
    print(text)
    if given.out:
        RESULT.write_text(text, encoding="utf-8")
    raise SystemExit(any(run.faults for run in runs))


if __name__ == "__main__":
    main()
