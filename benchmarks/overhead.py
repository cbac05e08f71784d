"""What the engine adds to a training step: the loop with reports to MLflow, states, progress,
against a bare loop.

    python -m benchmarks.overhead [--rounds 12] [--out]

Both sides train the same network on the same decoded images with the same views, optimizer and
batches, one thread, in turns; a step's time is that between two updates. MLflow writes to a SQLite
file, a state is kept every second. What of it is MLflow's is clocked apart, in processor time, as
the machine may have other work: the calls in the loop, and the thread that brings metrics to the
data base, against the thread that trains.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch

from corpus.progress import Progress
from corpus.reading.sampler import VIEWS, seeded
from engine.core.batch import Batch
from engine.core.network import network
from engine.measure.profile import device_name
from engine.training.loop import initialise, train
from engine.training.meter import Report
from engine.training.optimizers import optimizer
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from models.blocks.augment.draws import Draws

RECIPE, CLASSES = Recipe(batch=128, rate=0.1, warmup=0, schedule="constant"), 300
BACKBONE = {"name": "regnet", "depth": 8, "w_0": 16, "w_a": 24, "w_m": 2.2, "group_width": 8}
SECTIONS = {
    "backbone": BACKBONE | {"stem_width": 16, "stem_stride": 1},
    "objective": {"name": "supervised"},
    "head": {"name": "linear"},
}
STEPS, COLD = 60, 5  # steps of a turn; the first of them are not counted
RESULT = Path(__file__).parent / "results" / "overhead.md"


class Pixels:
    """Decoded images in memory."""

    def __init__(self, n: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.pixels = torch.randint(0, 256, (n, 32, 32, 3), generator=generator, dtype=torch.uint8)
        self.classes = torch.randint(0, CLASSES, (n,), generator=generator)

    def __len__(self) -> int:
        return len(self.pixels)

    def read(self, indices: torch.Tensor, draws: Draws | None = None) -> Batch:
        return {"image": self.pixels[indices], "label": self.classes[indices]}


def bare(samples: Pixels) -> list[float]:
    """Seconds of the steps of a loop that does nothing but train."""
    initialise(0)
    objective = network(**SECTIONS, classes=CLASSES).to(memory_format=torch.channels_last).train()
    solver, stamps = optimizer(RECIPE, objective), []
    order = torch.randperm(len(samples))
    for step in range(STEPS):
        rows = order[step * RECIPE.batch :][: RECIPE.batch]
        batch = samples.read(rows)
        loss = objective(objective.views(batch, Draws(seeded(0, VIEWS, step))))["loss"]
        loss.backward()
        solver.step()
        solver.zero_grad(set_to_none=True)
        stamps.append(time.perf_counter())
    return [b - a for a, b in pairwise(stamps)][COLD:]


def engine(samples: Pixels, folder: Path, report: Report, show: Progress) -> list[float]:
    """Seconds of the steps of `train`, with all that it does beside them."""
    initialise(0)
    stamps: list[float] = []

    def progress(done: int, total: int, text: str) -> None:
        stamps.append(time.perf_counter())
        show(done, total, text)

    training = Training(RECIPE, 1, state=folder, report=report, progress=progress, per_report=10)
    train(network(**SECTIONS, classes=CLASSES), samples, training)
    return [b - a for a, b in pairwise(stamps)][COLD:]


class Clocked:
    """A function, and the seconds that its calls have taken by a clock."""

    def __init__(self, function: Callable[..., Any], clock: Callable[[], float]) -> None:
        self.function, self.clock, self.seconds = function, clock, 0.0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        start = self.clock()
        try:
            return self.function(*args, **kwargs)
        finally:
            self.seconds += self.clock() - start


def turns(rounds: int, folder: Path) -> dict[str, list[list[float]]]:
    """Seconds per step of every turn of both sides."""
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    os.chdir(folder)
    Path("params.yaml").write_text((Path(__file__).parents[1] / "params.yaml").read_text())
    from flows.running.orchestrate import progress
    from flows.tracking import run as tracked
    from flows.tracking.tracking import stage_run

    # before the run begins, which starts the thread
    sending = tracked.send_metrics = Clocked(tracked.send_metrics, time.thread_time)
    os.environ["TAGDAG_CHECKPOINT_SECONDS"] = "1"
    samples, spent = Pixels(STEPS * RECIPE.batch), {"bare": [], "engine": [], "mlflow": []}
    with stage_run("overhead", {}) as run, progress("overhead") as show:
        for turn in range(-1, rounds):
            calls, before = Clocked(run.metrics, time.thread_time), sending.seconds
            training = Clocked(engine, time.thread_time)
            timed = {
                "bare": bare(samples),
                "engine": training(samples, folder / f"state-{turn}", calls, show),
            }
            run.flush()  # what the thread does of this turn is this turn's
            spent_there = calls.seconds + sending.seconds - before
            timed["mlflow"] = [spent_there / training.seconds]
            for side, seconds in timed.items():
                spent[side] += [seconds] if turn >= 0 else []
    return spent


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=12, help="turns of each side")
    parser.add_argument(
        "--out", action="store_true", help=f"write benchmarks/results/{RESULT.name} too"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        spent = turns(options.rounds, Path(folder))
    ratios = [
        median(ours) / median(theirs) - 1
        for theirs, ours in zip(spent["bare"], spent["engine"], strict=True)
    ]
    whole = [
        sum(ours) / sum(theirs) - 1
        for theirs, ours in zip(spent["bare"], spent["engine"], strict=True)
    ]
    shares = [100 * share for [share] in spent["mlflow"]]
    lines = [
        "# What the engine adds to a step\n",
        f"Steps of {RECIPE.batch} images of 32 px, {STEPS - COLD - 1} in each of",
        f"{options.rounds} turns of both sides;",
        f"a report every 10 steps, a state every second, MLflow in SQLite. {date.today()},",
        f"{device_name(torch.device('cpu'))};",
        f"torch {version('torch')}, mlflow {version('mlflow')}\n",
        "| | median over turns | least | most |",
        "| --- | --- | --- | --- |",
    ]
    rows = {
        "bare loop, ms a step": [1e3 * median(turn) for turn in spent["bare"]],
        "engine, ms a step": [1e3 * median(turn) for turn in spent["engine"]],
        "overhead of the median step, %": [100 * ratio for ratio in ratios],
        "overhead of all steps of a turn, %": [100 * ratio for ratio in whole],
        "MLflow's share of the processor time of training, %": shares,
    }
    lines += [f"| {n} | {median(v):.2f} | {min(v):.2f} | {max(v):.2f} |" for n, v in rows.items()]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
