"""A small network grown step by step along the axis that pays most: what flows/tools/expand.py
computes.

Feichtenhofer 2020, "X3D", arXiv 2004.04730, section 3.2. A step about doubles the multiply-adds
along each axis in turn, trains each by the section `search` of params.yaml, and goes on from the
best. Networks that were trained are kept: a command that was cut short goes on where it was.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna

from corpus.progress import Progress
from engine.core.digest import digest
from engine.measure.expansion import Candidate, expand
from flows.cli.command import stage_arguments
from flows.running import settings
from flows.running.orchestrate import progress
from flows.search import search
from flows.searching.checks import check_search
from flows.searching.designs import Clips, Images, designs_of
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

    def __init__(
        self, section: dict[str, Any], designs: Images | Clips, run: Run, show: Progress
    ) -> None:
        self.section = section | {"latency_ms": None, "objectives": ["error"]}
        self.designs, self.run, self.show = designs, run, show
        network = designs.base["backbone"]["name"]
        self.key = search_key({key: section[key] for key in TRAINED_BY}, network)
        storage = connect(settings.STATE / "search" / f"{self.key}.db")
        self.study = open_study(storage, f"expand {self.key}", 1)
        self.rows: dict[str, dict[str, Any]] = {}

    def __call__(self, design: dict[str, Any]) -> float:
        slot, designs = digest(design), self.designs

        def train(trial: optuna.Trial, slot: str) -> list[float]:
            name = f"{len(self.rows)}: {designs.complexity(design) / 1e6:.2f} M"
            part, key = designs.trained(self.section, design), designs.key(self.key, design)
            row = run_trial(trial, key, name, part, designs.space(design), self.run, self.show)
            return [row["error"]]

        SlotQueue(self.study, lambda trials: [slot], train).work()
        self.rows[slot] = row_of(holders(trials_of(self.study))[slot])
        error = self.rows[slot]["error"]
        return float("-inf") if error is None else -error


def _table(
    steps: list[list[Candidate]], rows: dict[str, dict[str, Any]], designs: Images | Clips
) -> str:
    """The steps as a table: what each axis came to, the one that was taken first."""
    lines = [f"{'step':>4}  {'axis':<10} {'M mult-adds':>11} {'error %':>9}  network"]
    for number, trials in enumerate(steps, 1):
        for trial in trials:
            shown = designs.shown(trial.design)
            row = rows[digest(trial.design)]
            error = row["outcome"] if row["error"] is None else f"{row['error']:.1f}"
            taken = "*" if trial is trials[0] else " "
            cost = f"{trial.complexity / 1e6:>11.2f}"
            lines.append(f"{number:>3}{taken}  {trial.axis:<10} {cost} {error:>9}  {shown}")
    return "\n".join(lines)


def grow(file: Path, factor: float, axes: Sequence[str] | None, out: Path) -> None:
    """Grow the network of a file until it has `factor` times its multiply-adds.

    axes: to try in each step, all that the network has when None. ValueError with cause and fix.
    """
    section = check_search(stage_arguments(search))
    designs = designs_of(read_backbone(file), section, str(file))
    tried = designs.tried(axes)
    with stage_run("expand", section) as run, progress("expand") as show:
        score = Trained(section, designs, run, show)
        target = factor * designs.complexity(designs.base)
        how = {"tolerance": 0.2, "pick": designs.pick}
        steps = expand(designs.base, tried, designs.complexity, score, target, **how)
    out.write_text(designs.written(steps[-1][0].design))
    print(f"{_table(steps, score.rows, designs)}\nwrote {os.path.relpath(out)}")
