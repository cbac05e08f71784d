"""A small network grown step by step along the axis that pays most.

Flows/tools/expand.py is its command line.

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
from flows.searching.attempt import attempt, row_of
from flows.searching.searching import checked
from flows.searching.storage import connected, opened
from flows.searching.study import Plan, holders
from flows.searching.sweep import key_of
from flows.tools.scaling import read
from flows.tracking.tracking import Run, stage_run


class Trained:
    """Scores designs by training them, each once: the less error in percent, the higher."""

    def __init__(self, section: dict[str, Any], run: Run, show: Progress) -> None:
        same = {
            key: section[key]
            for key in ("data", "objective", "head", "recipe", "resampling", "epochs", "seed")
        }
        self.section, self.run, self.show = (
            section | {"latency_ms": None, "objectives": ["error"]},
            run,
            show,
        )
        self.key = key_of(same, "anynet")
        self.study = opened(
            connected(settings.STATE / "search" / f"{self.key}.db"), f"expand {self.key}", 1
        )
        self.space = build("spaces", section["space"], where="search.space")
        self.rows: dict[str, dict[str, Any]] = {}

    def __call__(self, design: dict[str, Any]) -> float:
        slot, backbone = digest(design), design["backbone"]

        def train(trial: optuna.Trial, slot: str) -> list[float]:
            part, name = (
                self.section | {"backbone": backbone},
                f"{len(self.rows)}: {flops(design) / 1e6:.2f} M",
            )
            return [attempt(trial, self.key, name, part, self.space, self.run, self.show)["error"]]

        Plan(self.study, lambda trials: [slot], train).work()
        self.rows[slot] = row_of(holders(self.study.get_trials(deepcopy=False))[slot])
        return -self.rows[slot]["error"] if self.rows[slot]["error"] is not None else float("-inf")


def told(steps: list[list[Candidate]], rows: dict[str, dict[str, Any]]) -> str:
    """The steps as a table: what each axis came to, the one that was taken first."""
    lines = [f"{'step':>4}  {'axis':<10} {'M mult-adds':>11} {'error %':>9}  network"]
    for number, trials in enumerate(steps, 1):
        for trial in trials:
            backbone = trial.design["backbone"]
            shown = ", ".join(
                f"{key} {backbone[key]}" for key in ("depths", "widths", "bottleneck_ratios")
            )
            row = rows[digest(trial.design)]
            error = row["outcome"] if row["error"] is None else f"{row['error']:.1f}"
            taken = "*" if trial is trials[0] else " "
            lines.append(
                f"{number:>3}{taken}  {trial.axis:<10} {trial.complexity / 1e6:>11.2f} {error:>9}  {shown}"
            )
    return "\n".join(lines)


def expanded(file: Path, factor: float, axes: list[str], out: Path) -> None:
    """Grow the anynet of a file until it has `factor` times its multiply-adds.

    ValueError with cause and fix.
    """
    section = checked(stage_arguments(search))
    base = {"backbone": read(file), "resolution": settings.image_size()}
    if base["backbone"]["name"] != "anynet":
        raise ValueError(
            f"{file}: a {base['backbone']['name']} has no stages of its own: give an anynet"
        )
    with stage_run("expand", section) as run, progress("expand") as show:
        score = Trained(section, run, show)
        tried = {name: AXES[name] for name in axes}
        steps = expand(base, tried, flops, score, factor * flops(base), tolerance=0.2)
    out.write_text(yaml.safe_dump(steps[-1][0].design["backbone"], sort_keys=False))
    print(f"{told(steps, score.rows)}\nwrote {os.path.relpath(out)}")
