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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.clone import checkout, committed, git, merged, overlaid, override, parsed, python
from benchmarks.packs import FOLDER, check
from benchmarks.photographs_data import versioned
from flows.cli.command import user_errors
from flows.running import settings
from flows.tracking import tracking

ROOT = Path(__file__).resolve().parents[1]
TASK = "cifar10"  # its name in the overlays, and that of its labelled set


@dataclass(frozen=True)
class Made:
    """A DAG that has run: where, by which command, from which commit and data, for how long.

    page: the file that its table goes to.
    """

    work: Path
    command: str
    commit: str
    sections: dict[str, Any]
    minutes: float
    page: Path

    def evaluated(self, part: str) -> list[dict[str, Any]]:
        """The `records` of the task's models, or their `gains` over no pretraining."""
        file = self.work / settings.OUT / "evaluate" / TASK / f"{part}.json"
        return json.loads(file.read_text())


@dataclass(frozen=True)
class Study:
    """A study: its name, that of its overlay and its page, what it is about, and its table.

    quick: assignments that leave few posts and epochs. page: the text of the table.
    """

    name: str
    about: str
    quick: Sequence[str]
    page: Callable[[Made], str]

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


def facts(work: Path, commit: str, minutes: float) -> dict[str, str]:
    """What a reader needs to run the DAG of a clone again, and how long it took."""
    params = yaml.safe_load((work / "params.yaml").read_text())
    with contextlib.chdir(work):
        data = tracking.data_version()
    counts = json.loads((work / settings.OUT / "corpus" / "summary.json").read_text())
    spent = ", ".join(f"{stage} {value:.1f}" for stage, value in stage_minutes(data).items())
    search, task = params["search"], params["tasks"][TASK]
    pretrain = list(params["pretrain"].values())
    python, size = platform.python_version(), params["corpus"]["size"]
    seeds = f"search {search['seed']}, pretrain {pretrain[0]['seed']}, finetune {task['seeds']}"
    epochs = ", ".join(dict.fromkeys(str(training["epochs"]) for training in pretrain))
    return {
        "versions": f"tagdag {commit[:12]}, torch {torch.__version__}, Python {python}",
        "data version": data,
        "minutes": f"{minutes:.1f} in this run; each stage when it last ran: {spent}",
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
        **facts(made.work, made.commit, made.minutes),
        "posts from Tiny ImageNet": json.dumps(made.sections["posts"]),
        "images per class from CIFAR-10 (as JPEG)": json.dumps(made.sections["labels"]),
    }
    lines = [f"# {title}", "", "| | |", "| --- | --- |"]
    return lines + [f"| {name} | {value} |" for name, value in rows.items()]


# ---- the run


def sections_of(recipe: Path, overrides: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what is laid over params.yaml, the sections posts and labels) of an overlay."""
    overlay = parsed(recipe.read_text(), recipe.name)
    for assignment in overrides:
        overlay = merged(overlay, override(assignment))
    sections = {name: overlay.pop(name, {}) for name in ("posts", "labels")}
    return overlay, sections


def run(
    study: Study, packs: Path, work: Path, given: tuple[Path, Sequence[str]], told: tuple[str, Path]
) -> None:
    """Clone, data, DAG, result table.

    given: the overlay, and what goes over it. told: the command, and the file of the table.
    """
    started = time.monotonic()
    check(packs)
    overlay, sections = sections_of(*given)
    os.environ.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{ROOT / 'mlflow.db'}")
    # from here, so that artifacts of a new experiment stay beside the database, not in the clone
    tracking.connect()
    base = checkout(ROOT, work)
    if git(ROOT, "status", "--porcelain", "--untracked-files=no"):
        print("note: what is not committed is not in the clone that runs", file=sys.stderr)
    overlaid(work, overlay)
    versioned(packs, work, TASK, sections)
    committed(work, study.name)
    python(work, "flows.pipeline")
    command, page = told
    page.parent.mkdir(parents=True, exist_ok=True)
    minutes = (time.monotonic() - started) / 60
    page.write_text(study.page(Made(work, command, base, sections, minutes, page)))
    print(f"result table: {os.path.relpath(page)}")


def options_of(study: Study) -> argparse.Namespace:
    """What the command line of a study says."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{study.name}", description=study.about
    )
    add = parser.add_argument
    add("--packs", type=Path, default=FOLDER, help="folder of the packs (*.tar.xz)")
    add("--work", type=Path, help=f"folder of the clone (default .tagdag/{study.name})")
    about = "YAML laid over params.yaml, with sections posts and labels"
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
