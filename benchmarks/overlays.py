"""What studies share that run the whole DAG under an overlay of params.yaml: command line, clone,
data, and the facts of a run.

The DAG runs in a clone of this repository's HEAD, so that data/ and params.yaml stay as they are;
run again, it goes on there.
"""

import argparse
import contextlib
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.clone import checkout, committed, git, merged, overlaid, override, parsed, python
from benchmarks.packs import FOLDER, NEEDED, check
from benchmarks.photographs_data import versioned
from flows.cli.command import user_errors
from flows.running import settings
from flows.tracking import tracking

ROOT = Path(__file__).resolve().parents[1]
TASK = "cifar10"  # its name in the overlays, and that of its labelled set
# sections of an overlay that are no section of params.yaml, and what a table calls them
PHOTOS = {
    "posts": "posts from Tiny ImageNet",
    "labels": "images per class from CIFAR-10 (as JPEG)",
}
Sections = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Made:
    """A DAG that has run: where, by which command, from which commit and data, for how long.

    page: the file that its table goes to. task: whose models are looked at. told: what a table
    calls the sections.
    """

    work: Path
    command: str
    commit: str
    sections: Sections
    minutes: float
    page: Path
    task: str = TASK
    told: Mapping[str, str] = field(default_factory=lambda: PHOTOS)

    def evaluated(self, part: str, task: str | None = None) -> list[dict[str, Any]]:
        """The `records` of a task's models, or their `gains` over no pretraining.

        task: another one than that of the study.
        """
        file = self.work / settings.OUT / "evaluate" / (task or self.task) / f"{part}.json"
        return json.loads(file.read_text())


@dataclass(frozen=True)
class Study:
    """A study: its name, that of its overlay and its page, what it is about, and its table.

    quick: assignments that leave few posts and epochs. page: the text of the table. task: its
    first task, of a set of the same name. packs: the data packs that it needs. told: the sections
    of its overlay that `data` reads, and what a table calls them. data: puts posts and labels into
    a clone's data/, of (folder of packs, clone, task, sections).
    """

    name: str
    about: str
    quick: Sequence[str]
    page: Callable[[Made], str]
    task: str = TASK
    packs: Sequence[str] = NEEDED
    told: Mapping[str, str] = field(default_factory=lambda: PHOTOS)
    data: Callable[[Path, Path, str, Sections], None] = versioned

    @property
    def recipe(self) -> Path:
        """The overlay."""
        return ROOT / "recipes" / f"{self.name}.yaml"

    @property
    def result(self) -> Path:
        """The file of the table."""
        return ROOT / "benchmarks" / "results" / f"{self.name}.md"


# ---- what a table says of its run


def stage_minutes(data: str) -> dict[str, float]:
    """Minutes of the last finished MLflow run of every stage on a data version."""
    client = tracking.connect()
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id
    where = f"tags.`tagdag.data` = '{data}' and attributes.status = 'FINISHED'"
    runs = client.search_runs(
        [experiment], where, order_by=["attributes.start_time ASC"], max_results=5000
    )
    named = [(run.data.tags.get("tagdag.stage"), run.info) for run in runs]
    return {stage: (info.end_time - info.start_time) / 60000 for stage, info in named if stage}


def facts(made: Made) -> dict[str, str]:
    """What a reader needs to run the DAG of a clone again, and how long it took."""
    params = yaml.safe_load((made.work / "params.yaml").read_text())
    with contextlib.chdir(made.work):
        data = tracking.data_version()
    counts = json.loads((made.work / settings.OUT / "corpus" / "summary.json").read_text())
    spent = ", ".join(f"{stage} {value:.1f}" for stage, value in stage_minutes(data).items())
    search, task = params["search"], params["tasks"][made.task]
    pretrain = list(params["pretrain"].values())
    python, size = platform.python_version(), params["corpus"]["size"]
    seeds = f"search {search['seed']}, pretrain {pretrain[0]['seed']}, finetune {task['seeds']}"
    epochs = ", ".join(dict.fromkeys(str(training["epochs"]) for training in pretrain))
    return {
        "versions": f"tagdag {made.commit[:12]}, torch {torch.__version__}, Python {python}",
        "data version": data,
        "minutes": f"{made.minutes:.1f} in this run; each stage when it last ran: {spent}",
        "seeds": seeds,
        "corpus": f"{counts['posts']} posts, {counts['hashtags']} hashtags, {size} px",
        "search": f"{search['trials']} networks, {search['epochs']} epochs each",
        "pretrain": f"{epochs} epochs",
    }


def head(title: str, made: Made, device: str) -> list[str]:
    """The head of a page: how its table came about. No path of this machine is in it."""
    rows = {
        "command": f"`{made.command}`",
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "device": device,
        **facts(made),
        **{told: json.dumps(made.sections[name]) for name, told in made.told.items()},
    }
    lines = [f"# {title}", "", "| | |", "| --- | --- |"]
    return lines + [f"| {name} | {value} |" for name, value in rows.items()]


# ---- the run


def sections_of(
    recipe: Path, overrides: Sequence[str], names: Iterable[str] = PHOTOS
) -> tuple[dict[str, Any], Sections]:
    """(what is laid over params.yaml, the sections of these names) of an overlay."""
    overlay = parsed(recipe.read_text(), recipe.name)
    for assignment in overrides:
        overlay = merged(overlay, override(assignment))
    sections = {name: overlay.pop(name, {}) for name in names}
    return overlay, sections


def run(
    study: Study, packs: Path, work: Path, given: tuple[Path, Sequence[str]], told: tuple[str, Path]
) -> None:
    """Clone, data, DAG, result table.

    given: the overlay, and what goes over it. told: the command, and the file of the table.
    """
    started = time.monotonic()
    check(packs, study.packs)
    overlay, sections = sections_of(*given, study.told)
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{ROOT / 'mlflow.db'}")
    # from here, so that artifacts of a new experiment stay beside the database, not in the clone
    tracking.connect()
    base = checkout(ROOT, work)
    if git(ROOT, "status", "--porcelain", "--untracked-files=no"):
        print("note: what is not committed is not in the clone that runs", file=sys.stderr)
    overlaid(work, overlay)
    study.data(packs, work, study.task, sections)
    committed(work, study.name)
    python(work, "flows.pipeline")
    command, page = told
    page.parent.mkdir(parents=True, exist_ok=True)
    minutes = (time.monotonic() - started) / 60
    made = Made(work, command, base, sections, minutes, page, study.task, study.told)
    page.write_text(study.page(made))
    print(f"result table: {os.path.relpath(page)}")


def options_of(study: Study) -> argparse.Namespace:
    """What the command line of a study says."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{study.name}", description=study.about
    )
    add = parser.add_argument
    add("--packs", type=Path, default=FOLDER, help="folder of the packs (*.tar.xz)")
    add("--work", type=Path, help=f"folder of the clone (default .tagdag/{study.name})")
    about = f"YAML laid over params.yaml, with sections {' and '.join(study.told)}"
    add("--params", type=Path, default=study.recipe, help=about)
    about = "one number, such as -S posts.tags.noise=0.3"
    add("-S", action="append", default=[], metavar="KEY=VALUE", help=about)
    about = "few posts and epochs, in a clone of its own; the table stays there"
    add("--quick", action="store_true", help=about)
    return parser.parse_args()


def main(study: Study) -> None:
    """Command line of a study."""
    given = options_of(study)
    shown = ["--quick"] * given.quick + [f"-S {shlex.quote(assignment)}" for assignment in given.S]
    shown += [f"--params {given.params.name}"] if given.params != study.recipe else []
    command = f"make repro RECIPE={study.name}"
    if shown:
        command = " ".join([f"python -m benchmarks.{study.name}", *shown])
    name = f"{study.name}{'-quick' * given.quick}"
    work = (given.work or ROOT / settings.STATE / name).resolve()
    page = work / settings.OUT / study.result.name if given.quick else study.result
    laid = (given.params, [*study.quick * given.quick, *given.S])
    with user_errors():
        run(study, given.packs, work, laid, (command, page))
