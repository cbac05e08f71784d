"""What a search costs beside training: seconds per network, by what they go to.

    python -m benchmarks.search_overhead [--trials 12] [--out]

Real searches of small networks on a small drawn sample in a clone of this repository's HEAD, one
worker and one thread, MLflow in a SQLite file. Each call that is named in the table is timed,
without the named calls inside it; what is left of the time from the first network to the last is in
no named call. Start-up and the report are paid once.
"""

import argparse
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
import yaml

from benchmarks.clone import checkout, committed, merged, overlaid, python, sampled
from benchmarks.postgres import postgres
from engine.measure.profile import device_name

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "search_overhead.md"
SMALL = {
    "corpus": {"min_posts": 5, "holdout": 0.2},
    "search": {"epochs": 4, "recipe": {"batch": 32}},
}
SEARCHES = {
    "random": {"sampler": {"name": "RandomSampler"}},
    "TPE": {"sampler": {"name": "TPESampler", "n_startup_trials": 4}},
    "NSGA-II, error and flops": {
        "sampler": {"name": "NSGAIISampler", "population_size": 4},
        "objectives": ["error", "flops"],
    },
}
GOAL = 1.2  # seconds: 2 % of a network trained for a minute
PARTS = ("storage", "sampler", "MLflow", "costs", "building", "counting images", "anything else")


class Clock:
    """Seconds in named calls, each without those inside it, by network.

    The first is what came before all of them.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = [defaultdict(float)]
        self.names, self.since = ["anything else"], time.perf_counter()

    def lap(self) -> dict[str, float]:
        """Book the time since the last lap on what is running; the present network's times."""
        now = time.perf_counter()
        self.rows[-1][self.names[-1]] += now - self.since
        self.since = now
        return self.rows[-1]

    @contextmanager
    def named(self, name: str) -> Iterator[None]:
        """What runs inside has this name."""
        self.lap()
        self.names.append(name)
        try:
            yield
        finally:
            self.lap()
            self.names.pop()

    def next(self) -> None:
        """From here on it is another network's time."""
        self.lap()
        self.rows.append(defaultdict(float))

    def time(self, owner: Any, call: str, name: str) -> None:
        """Time every call of a function or method by this name."""
        function = getattr(owner, call)

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            main = (
                threading.current_thread() is threading.main_thread()
            )  # not what is sent beside the training
            with self.named(name) if main else nullcontext():
                return function(*args, **kwargs)

        setattr(owner, call, timed)


def instrumented(clock: Clock) -> None:
    """Name the calls of a search. A network's time begins where the search looks for it."""
    from optuna.storages import RDBStorage

    from flows.searching import trial
    from flows.searching.samplers import MemberSampler
    from flows.searching.storage import Storage
    from flows.searching.study import SlotQueue
    from flows.tracking import tracking
    from flows.training import learning

    clock.time(learning, "train", "training")
    clock.time(trial, "errors", "evaluation")
    clock.time(trial, "costs_of", "costs")
    clock.time(trial, "image_count", "counting images")
    clock.time(learning, "network", "building")
    for call in ("sample_relative", "before_trial", "after_trial"):
        clock.time(MemberSampler, call, "sampler")
    for call, value in vars(RDBStorage).items():
        if callable(value) and not call.startswith("_"):
            clock.time(Storage, call, "storage")
    for call in ("params", "metrics", "flush"):
        clock.time(tracking.Run, call, "MLflow")
    for call in ("_run_of", "_set_status", "_end"):
        clock.time(tracking, call, "MLflow")
    before = SlotQueue._queue

    def queue(self: SlotQueue) -> Any:
        clock.next()
        return before(self)

    SlotQueue._queue = queue


def timed(out: Path) -> None:
    """A search in the present folder, its times as JSON."""
    clock = Clock()
    from flows.cli.command import run_stage
    from flows.search import search

    instrumented(clock)
    imports = sum(clock.lap().values())
    run_stage(search)
    clock.lap()
    out.write_text(json.dumps({"imports": imports, "rows": clock.rows}))


# ---- the searches


class Place:
    """A clone with a corpus, in which searches run one after the other."""

    def __init__(self, work: Path, trials: int) -> None:
        self.folder, self.times = work / "clone", work / "times.json"
        checkout(ROOT, self.folder)
        self.params = overlaid(self.folder, merged(SMALL, {"search": {"trials": trials}}))
        sampled(self.folder)
        committed(self.folder, "small")
        python(self.folder, "dvc", "repro", "-q", "corpus")

    def run(self, section: dict[str, Any], storage: dict[str, str]) -> dict[str, Any]:
        """Times of a search with an empty storage."""
        shutil.rmtree(self.folder / ".tagdag", ignore_errors=True)
        params = self.params | {"search": self.params["search"] | section}
        (self.folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        clean = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("PREFECT_", "MLFLOW_", "TAGDAG_"))
        }
        command = [sys.executable, "-m", "benchmarks.search_overhead", "--timed", str(self.times)]
        subprocess.run(
            command, cwd=self.folder, env=clean | {"OMP_NUM_THREADS": "1"} | storage, check=True
        )
        return json.loads(self.times.read_text())


def searched(place: Place) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every kind of search on both storages."""
    for name, section in SEARCHES.items():
        yield f"{name}, SQLite", place.run(section, {})
        with postgres() as server:
            yield f"{name}, PostgreSQL", place.run(section, {"TAGDAG_SEARCH_STORAGE": server.url})


def line(name: str, times: dict[str, Any], trials: int) -> str:
    """One search: medians over its networks, in milliseconds where they are small."""
    startup, *rows = times["rows"]
    networks, after = rows[:trials], rows[trials:]

    def middle(key: str) -> float:
        return median(row.get(key, 0) for row in networks)

    beside = []
    for row in networks:
        beside.append(sum(row.get(part, 0) for part in PARTS))
        apart = sum(row.values()) - row.get("training", 0) - row.get("evaluation", 0)
        assert abs(beside[-1] - apart) < 1e-6, "a call of no column"
    whole = [f"{middle(key):.2f}" for key in ("training", "evaluation")]
    parts = [f"{1e3 * middle(part):.0f}" for part in PARTS]
    last = sum(after[-1].values())
    cells = [
        name,
        *whole,
        f"**{median(beside):.2f}**",
        f"{mean(beside):.2f}",
        f"{median(beside) / 0.6:.1f} %",
        *parts,
    ]
    cells += [
        f"{times['imports']:.1f}",
        f"{sum(startup.values()) - times['imports']:.1f}",
        f"{last:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Search, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=12, help="networks of each search")
    parser.add_argument(
        "--out", action="store_true", help=f"write benchmarks/results/{RESULT.name} too"
    )
    parser.add_argument("--timed", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.timed:
        timed(given.timed)
        return
    torch.set_num_threads(1)
    lines, loads = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, times in searched(Place(Path(folder).resolve(), given.trials)):
            lines.append(line(name, times, given.trials))
            loads.append(os.getloadavg()[0])
            print(lines[-1], flush=True)
    packages = ", ".join(
        f"{name} {version(name)}" for name in ("torch", "optuna", "mlflow", "psycopg")
    )
    heads = ("search", "training, s", "evaluation, s", "everything else, s", "mean, s", "of 60 s")
    heads += (*(f"{part}, ms" for part in PARTS), "imports, s", "opening, s", "report, s")
    text = "\n".join([
        f"# What a search costs beside training\n\n{device_name(torch.device('cpu'))}; "
        f"{packages}; {date.today()};",
        f"`python -m benchmarks.search_overhead --trials {given.trials}`; one thread, "
        f"{os.cpu_count()} cores, load {mean(loads):.1f}\n",
        f"Medians over the {given.trials} networks of a search; in the mean is the first, which "
        "opens the corpus.",
        f"Goal: {GOAL} s, which is 2 % of a minute of training. Imports, opening and report are "
        "paid once.\n",
        "| " + " | ".join(heads) + " |\n" + "|" + " --- |" * len(heads),
        *lines,
    ]) + "\n"  # fmt: skip
    print(text)
    if given.out:
        RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
