"""Searches by several workers on one storage, some killed: none lost, none trained twice, the
result of one worker?

    python -m benchmarks.searchers [--kills 20] [--seed 0] [--out]

A random search with a small drawn sample, in a clone of this repository's HEAD that is put back
before each run: by one worker, then by 2 and 4 on SQLite and on PostgreSQL, undisturbed and while
one process after another is killed -9 at random moments (a stage that was killed is started again,
a worker the stage starts again). Last, a worker in another clone, started by hand and under another
host name, on PostgreSQL and an MLflow server; and such a one killed.
"""

import argparse
import contextlib
import hashlib
import itertools
import os
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median
from typing import Any

import optuna
import psutil
import torch
from optuna.trial import FrozenTrial, TrialState

from benchmarks.clone import checkout, committed, overlaid, python, sampled
from benchmarks.kills import ROOT, TREE
from benchmarks.postgres import postgres
from benchmarks.tracking import Server
from engine.core.digest import digest
from engine.measure.profile import device_name
from flows.searching.storage import GRACE
from flows.searching.study import holders, outcome

RESULT = ROOT / "benchmarks" / "results" / "searchers.md"
SMALL = {
    "corpus": {"min_posts": 5, "holdout": 0.2},
    "search": {
        "trials": 10,
        "epochs": 4,
        "sampler": {"name": "RandomSampler"},
        "recipe": {"batch": 32},
    },
}
BETWEEN = (2.0, 6.0)  # seconds from one kill to the next
STRIKES = 8  # of one search, before it is left alone
STAGE = 0.1  # of all kills hit the stage itself
PATIENCE = 600  # seconds that a search may take
COLUMNS = (
    "search",
    "seconds",
    "networks",
    "of each worker",
    "kills",
    "cut short",
    "trained twice",
    "result",
)
ENDS = """
    SELECT name, count(*) FROM metrics JOIN runs USING (run_uuid)
    WHERE key = 'loss' AND step = (
        SELECT max(step) FROM metrics all_of WHERE all_of.run_uuid = metrics.run_uuid
    )
    GROUP BY run_uuid
"""


@dataclass
class Kill:
    """A process killed, and the newest state of each network at that moment."""

    pid: int
    stage: bool
    moment: float
    states: dict[str, float]


@dataclass
class Run:
    """A search: its processes, what became of it, and where it is another than that of one
    worker.
    """

    name: str
    seconds: float = 0.0
    kills: list[Kill] = field(default_factory=list)
    networks: list[FrozenTrial] = field(default_factory=list)  # attempts of the storage
    finals: list[FrozenTrial] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    tree: Counter[tuple[str, ...]] = field(default_factory=Counter)
    ends: dict[str, int] = field(
        default_factory=dict
    )  # how often a training reported its last step
    lost: list[float] = field(
        default_factory=list
    )  # seconds of training, of each attempt that a kill cut short
    waited: float | None = None  # seconds from a kill until another machine took the network up

    def shares(self) -> list[int]:
        """How many networks each process has ended, the busiest first."""
        workers = Counter(
            str(trial.user_attrs["worker"]) for trial in holders(self.networks).values()
        )
        return sorted(workers.values(), reverse=True)

    def cut(self) -> list[FrozenTrial]:
        """Attempts that ended without an outcome."""
        return [
            one
            for one in self.networks + self.finals
            if one.state == TrialState.FAIL and not outcome(one)
        ]

    def redone(self, key: str, params: dict[str, Any]) -> Iterator[float]:
        """Seconds of training that each kill cost: since the last state, or the start of the
        attempt.
        """
        rows = {
            one.user_attrs["slot"]: one.user_attrs["row"]
            for one in self.networks + self.finals
            if outcome(one)
        }
        for kill in self.kills:
            for one in self.cut():
                if one.user_attrs.get("worker", {}).get("pid") == kill.pid:
                    network = rows[one.user_attrs["slot"]]["network"]
                    kept = kill.states.get(
                        f"search.{digest(key, network, params['epochs'], params['seed'])}", 0
                    )
                    yield kill.moment - max(kept, one.datetime_start.timestamp())

    def twice(self) -> list[str]:
        """Slots with more than one outcome, trainings that came to their last step more than
        once.
        """
        ended = Counter(
            str(one.user_attrs["slot"]) for one in self.networks + self.finals if outcome(one)
        )
        return [slot for slot, n in ended.items() if n > 1] + [
            name for name, n in self.ends.items() if n > 1
        ]


class Place:
    """The clone, what it was before the search, and processes in it."""

    def __init__(self, work: Path) -> None:
        self.folder, self.before, self.log = work / "clone", work / "before", work / "log"
        checkout(ROOT, self.folder)
        self.params = overlaid(self.folder, SMALL)["search"]
        sampled(self.folder)
        committed(self.folder, "small")
        python(self.folder, "dvc", "repro", "-q", "corpus")
        shutil.copytree(self.folder, self.before, symlinks=True)

    def copy(self, folder: Path) -> Path:
        """Put a clone back to where no search had begun, or make another one."""
        shutil.rmtree(folder, ignore_errors=True)
        return shutil.copytree(self.before, folder, symlinks=True)

    def start(self, workers: int, env: dict[str, str]) -> psutil.Popen:
        """The stage."""
        return self.process(self.folder, [sys.executable, "-m", "flows.search"], workers, env)

    def join(self, folder: Path, env: dict[str, str]) -> psutil.Popen:
        """One more worker in another clone, and where that is allowed (to root), on a host of
        another name.
        """
        elsewhere = (
            ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"]
            if not os.geteuid()
            else []
        )
        return self.process(folder, [*elsewhere, sys.executable, "-m", "flows.searcher"], 1, env)

    def process(
        self, folder: Path, command: list[str], workers: int, env: dict[str, str]
    ) -> psutil.Popen:
        """A process of the search on its way."""
        clean = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("PREFECT_", "MLFLOW_", "TAGDAG_"))
        }
        clean |= {
            "OMP_NUM_THREADS": "1",
            "TAGDAG_CHECKPOINT_SECONDS": "0.3",
            "TAGDAG_SEARCHERS": str(workers),
        } | env
        with self.log.open("ab") as log:
            return psutil.Popen(command, cwd=folder, env=clean, stdout=log, stderr=log)

    def finished(self, process: psutil.Popen) -> None:
        """Wait for its end; SystemExit with what was printed where it failed."""
        if process.wait(PATIENCE):
            raise SystemExit(f"the search failed:\n{self.log.read_text()[-3000:]}")

    def states(self) -> dict[str, float]:
        """When the newest state of each network was kept, by its folder's name."""
        found: dict[str, float] = {}
        for file in (self.folder / ".tagdag" / "state").glob("search.*/*/*.safetensors"):
            with contextlib.suppress(
                FileNotFoundError
            ):  # an older state goes when a newer one is there
                found[file.parts[-3]] = max(found.get(file.parts[-3], 0), file.stat().st_mtime)
        return found

    def collect(self, run: Run, url: str, store: Path | None = None) -> Run:
        """What storage, MLflow and out/search say of a search that has ended."""
        studies = {
            name.split()[0]: study for name, study in studied(url or self.embedded()).items()
        }
        run.networks, run.finals = studies["search"].get_trials(), studies["finals"].get_trials()
        files = (path for path in (self.folder / "out" / "search").rglob("*") if path.is_file())
        run.files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        with closing(sqlite3.connect(store or self.folder / "mlflow.db")) as base:
            rows = {key: rest for key, *rest in base.execute(TREE)}
            run.ends = dict(base.execute(ENDS))
        found = ((rows.get(above, ["", ""])[1], name, end) for above, name, end in rows.values())
        run.tree = Counter(one for one in found if "search" in one[:2])
        run.lost = list(run.redone(studies["search"].study_name.split()[1], self.params))
        return run

    def embedded(self) -> str:
        """The URL of the SQLite file, "" as long as there is none."""
        return next(
            (f"sqlite:///{file}" for file in (self.folder / ".tagdag" / "search").glob("*.db")), ""
        )


def studied(url: str) -> dict[str, optuna.Study]:
    """All studies of a storage, by name."""
    storage = optuna.storages.RDBStorage(url)
    return {
        name: optuna.load_study(study_name=name, storage=storage)
        for name in optuna.get_all_study_names(storage)
    }


@contextmanager
def storage(kind: str) -> Iterator[tuple[str, dict[str, str]]]:
    """An empty storage: its URL, where it has one before the search, and what names it to a
    search.
    """
    if kind == "SQLite":
        yield "", {}
        return
    with postgres() as server:
        url = server.url.replace("postgresql:", "postgresql+psycopg:")
        yield f"{url}?client_encoding=utf8", {"TAGDAG_SEARCH_STORAGE": server.url}


# ---- the runs


def undisturbed(place: Place, workers: int, kind: str) -> Run:
    """A search that nobody disturbs."""
    run = Run(f"{workers} worker{'s' * (workers > 1)}, {kind}")
    place.copy(place.folder)
    with storage(kind) as (url, env):
        begun = time.monotonic()
        place.finished(place.start(workers, env))
        run.seconds = time.monotonic() - begun
        return place.collect(run, url)


def killed(place: Place, workers: int, kind: str, draws: random.Random) -> Run:
    """A search whose processes are killed one after the other, then left alone."""
    run = Run(f"{workers} workers, {kind}, kill -9")
    place.copy(place.folder)
    with storage(kind) as (url, env):
        begun = time.monotonic()
        stage = place.start(workers, env)
        while stage.is_running() and len(run.kills) < STRIKES:
            try:
                stage.wait(draws.uniform(*BETWEEN))
            except psutil.TimeoutExpired:
                stage = (
                    stage if struck(place, stage, url, draws, run) else place.start(workers, env)
                )
        place.finished(stage)
        run.seconds = time.monotonic() - begun
        return place.collect(run, url)


def struck(place: Place, stage: psutil.Popen, url: str, draws: random.Random, run: Run) -> bool:
    """Kill one process of the search, every other time one that trains.

    Whether the stage lives on, else none does.
    """
    living = (child for child in stage.children() if child.status() != psutil.STATUS_ZOMBIE)
    others = [child for child in living if "flows.searcher" in child.cmdline()]
    family = [stage] if draws.random() < STAGE else others
    if draws.random() < 0.5:
        trains = {
            one.user_attrs.get("worker", {}).get("pid") for one in running(url or place.embedded())
        }
        family = [one for one in family if one.pid in trains]
    if not family:
        return True
    victim = draws.choice(family)
    victim.kill()
    run.kills.append(Kill(victim.pid, victim is stage, time.time(), place.states()))
    if victim is not stage:
        return True
    stage.wait()
    _, alive = psutil.wait_procs(others, 60)
    assert not alive, "a worker outlived its stage"
    return False


def joined(place: Place, dies: bool) -> Run:
    """A search by one worker that a second one joins, from another clone.

    Or this one is killed in a training.
    """
    run = Run("1 worker, 1 joined by hand, PostgreSQL" + ", this one kill -9" * dies)
    place.copy(place.folder)
    other = place.copy(place.folder.with_name("other"))
    with storage("PostgreSQL") as (url, env), tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        server.start()
        try:
            env, begun = env | {"MLFLOW_TRACKING_URI": server.url}, time.monotonic()
            stage = place.start(1, env)
            found(url, lambda trial: True)
            second = place.join(other, env)
            if dies:
                slot = found(
                    url, lambda trial: trial.user_attrs.get("worker", {}).get("pid") == second.pid
                )
                time.sleep(1)
                second.kill()
                run.kills.append(Kill(second.pid, False, time.time(), {}))
            place.finished(stage)
            run.seconds = time.monotonic() - begun
            second.wait(PATIENCE)
            place.collect(run, url, server.file)
        finally:
            server.kill()
    if dies:
        run.waited = holders(run.networks)[slot].datetime_start.timestamp() - run.kills[0].moment
    return run


def running(url: str) -> list[FrozenTrial]:
    """Attempts at networks that are under way."""
    studies = studied(url).items() if url else ()
    states = (TrialState.RUNNING,)
    return [
        one
        for name, study in studies
        if name.startswith("search")
        for one in study.get_trials(states=states)
    ]


def found(url: str, wanted: Callable[[FrozenTrial], bool]) -> int:
    """Wait for an attempt at a network; its slot."""
    for _ in range(4 * PATIENCE):
        time.sleep(0.25)
        for trial in filter(wanted, running(url)):
            return trial.user_attrs["slot"]
    raise TimeoutError("no network was trained")


# ---- the table


def faults(run: Run, whole: Run) -> list[str]:
    """In what a search is another than that of one worker, or has lost or doubled something."""
    names = sorted(whole.files.keys() | run.files)
    found = [f"{name} differs" for name in names if whole.files.get(name) != run.files.get(name)]
    found += [f"{slot} twice" for slot in run.twice()]
    found += [f"MLflow lacks {key}" for key in whole.tree - run.tree]
    found += [f"MLflow has {key}" for key in run.tree - whole.tree]
    held = {slot: outcome(trial) for slot, trial in holders(run.networks + run.finals).items()}
    wanted = {
        slot: outcome(trial) for slot, trial in holders(whole.networks + whole.finals).items()
    }
    return found + [
        f"{slot} is {held.get(slot)}" for slot in wanted if held.get(slot) != wanted[slot]
    ]


def line(run: Run, whole: Run) -> str:
    """One search."""
    stages = sum(kill.stage for kill in run.kills)
    kills = f"{len(run.kills)}, {stages} of the stage" if run.kills else "-"
    lost = (
        f"{len(run.lost)}: {sum(run.lost):.1f} s, at most {max(run.lost):.1f}" if run.lost else "-"
    )
    shares = " + ".join(map(str, run.shares())) if not run.kills else "-"
    ended = sum(outcome(one) == "complete" for one in run.networks)
    wrong = "; ".join(faults(run, whole)) or (
        "the same" if run is not whole else f"{len(run.files)} files"
    )
    cells = (run.name, f"{run.seconds:.0f}", ended, shares, kills, lost, len(run.twice()), wrong)
    return "| " + " | ".join(map(str, cells)) + " |"


def table(runs: list[Run], command: str, load: float) -> str:
    """The result as Markdown."""
    whole = runs[0]
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("torch", "optuna", "mlflow", "psycopg")
    )
    kills, lost = (
        [kill for run in runs for kill in run.kills],
        [lost for run in runs for lost in run.lost],
    )
    late = [run.waited for run in runs if run.waited]
    trained = [one.user_attrs["row"]["seconds"] for one in whole.networks]
    missed = f"A worker elsewhere that died was missed after {{:.0f}} s ({GRACE} s without a sign"
    missed += " of life)."
    return "\n".join([
        f"# Workers of one search\n\n{device_name(torch.device('cpu'))}; {packages}; "
        f"{date.today()}; `{command}`\n",
        f"{SMALL['search']['trials']} networks and the reference, {median(trained):.1f} s each "
        f"with one worker, one thread a worker, {os.cpu_count()} cores,\n"
        f"mean load {load:.1f}; a state every 0.3 s.\n",
        "| " + " | ".join(COLUMNS) + " |\n" + "|" + " --- |" * len(COLUMNS),
        *(line(run, whole) for run in runs),
        "\nThe same: every file of out/search has the bytes that one worker leaves, every network "
        "its outcome, MLflow",
        "the same tree of runs, each finished. Trained twice: networks with two results, or two "
        "last steps in MLflow.",
        "Cut short: attempts that a kill ended, and the training done again for it, since the last "
        "state.\n",
        f"{len(kills)} kills, {sum(kill.stage for kill in kills)} of them of the stage itself; "
        f"{len(lost)} hit",
        "a network in training, the others a process that started, waited or ended.",
        *(missed.format(seconds) for seconds in late),
    ]) + "\n"  # fmt: skip


def measured(place: Place, kills: int, draws: random.Random, only: list[str]) -> Iterator[Run]:
    """The search by one worker, then the others, one after the other."""
    yield undisturbed(place, 1, "SQLite")
    cases = [(workers, kind) for workers in (2, 4) for kind in ("SQLite", "PostgreSQL")]
    for case in cases if "undisturbed" in only else []:
        yield undisturbed(place, *case)
    done = 0
    for case in itertools.cycle(cases) if "killed" in only else []:
        if done >= kills:
            break
        yield (run := killed(place, *case, draws))
        done += len(run.kills)
    for dies in (False, True) if "joined" in only else ():
        yield joined(place, dies)


def main() -> None:
    """Search, compare, write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, help="at least")
    parser.add_argument("--seed", type=int, default=0, help="of moments and victims")
    parser.add_argument(
        "--out", action="store_true", help=f"write benchmarks/results/{RESULT.name} too"
    )
    kinds = ["undisturbed", "killed", "joined"]
    parser.add_argument("--only", nargs="+", default=kinds, choices=kinds, help="these searches")
    given = parser.parse_args()
    torch.set_num_threads(1)
    runs, loads = [], []
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder).resolve())
        for run in measured(place, given.kills, random.Random(given.seed), given.only):
            runs.append(run)
            loads.append(os.getloadavg()[0])
            print(line(run, runs[0]), flush=True)
    text = table(
        runs,
        f"python -m benchmarks.searchers --kills {given.kills} --seed {given.seed}",
        mean(loads),
    )
    print(text)
    if given.out:
        RESULT.write_text(text, encoding="utf-8")
    raise SystemExit(any(faults(run, runs[0]) for run in runs))


if __name__ == "__main__":
    main()
