"""A small network grown step by step along the axis that pays most: what flows/tools/expand.py
computes.

Feichtenhofer 2020, "X3D", arXiv 2004.04730, section 3.2. A step about doubles the multiply-adds
along each of depth, width and bottleneck in turn, trains each by the section `search` of
params.yaml, and goes on from the best. Networks that were trained are kept: a command that was cut
short goes on where it was.
"""

import os
from pathlib import Path
from typing import Any

import optuna
import yaml

from corpus.progress import Progress
from engine.core.build import build
from engine.core.digest import digest
from engine.measure.expansion import AXES, Candidate, expand, flops
from flows.cli.command import stage_arguments
from flows.running import settings
from flows.running.orchestrate import progress
from flows.search import search
from flows.searching.checks import check_search
from flows.searching.search import search_key, trials_of
from flows.searching.storage import connect, open_study
from flows.searching.study import SlotQueue, holders
from flows.searching.trial import row_of, run_trial
from flows.tools.scaling import read_backbone
from flows.tracking.tracking import Run, stage_run

# the keys of `search` that an error depends on
TRAINED_BY = ("data", "objective", "head", "recipe", "resampling", "epochs", "seed")


class Trained:
    """Scores designs by training them, each once: the less error in percent, the higher."""

    def __init__(self, section: dict[str, Any], run: Run, show: Progress) -> None:
        self.section = section | {"latency_ms": None, "objectives": ["error"]}
        self.run, self.show = run, show
        self.key = search_key({key: section[key] for key in TRAINED_BY}, "anynet")
        storage = connect(settings.STATE / "search" / f"{self.key}.db")
        self.study = open_study(storage, f"expand {self.key}", 1)
        self.space = build("spaces", section["space"], where="search.space")
        self.rows: dict[str, dict[str, Any]] = {}

    def __call__(self, design: dict[str, Any]) -> float:
        slot, backbone = digest(design), design["backbone"]

        def train(trial: optuna.Trial, slot: str) -> list[float]:
            part = self.section | {"backbone": backbone}
            name = f"{len(self.rows)}: {flops(design) / 1e6:.2f} M"
            row = run_trial(trial, self.key, name, part, self.space, self.run, self.show)
            return [row["error"]]

        SlotQueue(self.study, lambda trials: [slot], train).work()
        self.rows[slot] = row_of(holders(trials_of(self.study))[slot])
        error = self.rows[slot]["error"]
        return float("-inf") if error is None else -error


SHOWN = ("depths", "widths", "bottleneck_ratios")


def _table(steps: list[list[Candidate]], rows: dict[str, dict[str, Any]]) -> str:
    """The steps as a table: what each axis came to, the one that was taken first."""
    lines = [f"{'step':>4}  {'axis':<10} {'M mult-adds':>11} {'error %':>9}  network"]
    for number, trials in enumerate(steps, 1):
        for trial in trials:
            backbone = trial.design["backbone"]
            shown = ", ".join(f"{key} {backbone[key]}" for key in SHOWN)
            row = rows[digest(trial.design)]
            error = row["outcome"] if row["error"] is None else f"{row['error']:.1f}"
            taken = "*" if trial is trials[0] else " "
            cost = f"{trial.complexity / 1e6:>11.2f}"
            lines.append(f"{number:>3}{taken}  {trial.axis:<10} {cost} {error:>9}  {shown}")
    return "\n".join(lines)


def grow(file: Path, factor: float, axes: list[str], out: Path) -> None:
    """Grow the anynet of a file until it has `factor` times its multiply-adds.

    ValueError with cause and fix.
    """
    section = check_search(stage_arguments(search))
    base = {"backbone": read_backbone(file), "resolution": settings.image_size()}
    if base["backbone"]["name"] != "anynet":
        raise ValueError(
            f"{file}: a {base['backbone']['name']} has no stages of its own: give an anynet"
        )
    with stage_run("expand", section) as run, progress("expand") as show:
        score = Trained(section, run, show)
        tried = {name: AXES[name] for name in axes}
        steps = expand(base, tried, flops, score, factor * flops(base), tolerance=0.2)
    out.write_text(yaml.safe_dump(steps[-1][0].design["backbone"], sort_keys=False))
    print(f"{_table(steps, score.rows)}\nwrote {os.path.relpath(out)}")
