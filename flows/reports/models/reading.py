"""What the report of models needs out of the files that the stages left; torch is not among it."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flows.measuring import details
from flows.measuring.headline import of_record, of_tags
from flows.measuring.stored import pictures, set_of
from flows.registry import older
from flows.reports.models import words
from flows.reports.models.findings import Curve, Findings, Leader, shown
from flows.reports.models.mistakes import surest, worst
from flows.reports.models.outcome import Outcome
from flows.reports.models.scenetold import ids_shown, told_of
from flows.reports.models.tables import answered, duplicated, labelled, repeated_in_train
from flows.running import settings
from flows.searching.trials import Trials, read_trials

Record = dict[str, Any]
POINTS = 250  # of a learning curve
SECTIONS = ("candidates", "pretrain", "tasks", "evaluate")  # of params.yaml, that the page shows


def read(
    outcomes: Sequence[Outcome], origin: dict[str, str], links: dict[str, str] | None = None
) -> Findings:
    """All findings; what a stage did not leave is not there.

    ValueError for a file that is damaged.
    """
    data = {of.task: of.records[0]["data"] for of in outcomes}
    found = Findings(
        records=[record for of in outcomes for record in best_first(of.records)],
        gains=[gain for of in outcomes for gain in of.gains],
        versions={model: number for of in outcomes for model, number in of.versions.items()},
        decisions={of.task: of.decision for of in outcomes},
        origin=origin,
        names={of.task: of.name for of in outcomes},
        links=links or {},
        leaders={of.task: leaders(of.leaders) for of in outcomes},
        curves=curves(settings.OUT / "pretrain"),
        neighbours=curves(settings.OUT / "pretrain", "monitor", "knn_accuracy"),
        arms=arm_curves(outcomes[0].task),
        labels=labelled(data),
        trained={task: repeated_in_train(set_of(name)) for task, name in data.items()},
        search=_searched(settings.OUT / "search"),
        settings=_sections(),
    )
    found.duplicates.update(duplicated(data))
    found.details.update({task: details.read(settings.OUT / "evaluate" / task) for task in data})
    for task, name in data.items():
        models = told_of(found, task)
        if models:
            found.scene_pictures[task] = pictures(set_of(name), ids_shown(models))
    _look_into(found, data[found.tasks[0]])
    return found


def best_first(records: Sequence[Record]) -> list[Record]:
    """The records of a task, the best on the test split first."""
    return sorted(records, key=lambda each: -of_record(each).merit(each["value"]))


def _look_into(found: Findings, data: str) -> None:
    """Adds the answers of each task's leading model, and the first task's worst mistakes.

    data: the labelled set of the first task.
    """
    for task in found.tasks:
        its = found.of(task)
        looked = shown(its, [found.alias(record) for record in its])
        answers = answered(looked["model"], task)
        if answers:
            found.answers[task] = answers
    first = found.tasks[0]
    if first in found.answers:
        answers = found.answers[first]
        ids = [mistake.id for mistake in worst(answers)]
        ids += [answers.ids[place] for place, _ in surest(answers)]
        found.pictures.update(pictures(set_of(data), ids))


def leaders(versions: Mapping[str, Any]) -> dict[str, Leader]:
    """What the versions of the registry that aliases point to say of themselves, by alias."""
    return {alias: leader(version) for alias, version in versions.items() if version}


def leader(version: Any) -> Leader:
    """What a version of the registry says of itself."""
    labels = version.tags
    model = labels.get("tagdag.model", "a model of another tool")
    numbers = (older.tag_number(labels, key) for key in ("value", "low", "high"))
    return Leader(str(version.version), model, of_tags(labels), *numbers)


def _sections() -> dict[str, Any]:
    """The sections of params.yaml that the models were made by."""
    found = settings.load_params()
    return {name: found[name] for name in SECTIONS if name in found}


def curves(folder: Path, kind: str = "curve", column: str = "loss") -> dict[str, Curve]:
    """The learning curve of every pretraining: `winner`; of further seeds `winner, seed 3`.

    kind: the table that it is a column of; who has no such column has no curve.
    """
    found = {}
    for file in sorted([*folder.glob(f"*/{kind}.csv"), *folder.glob(f"*/seeds/{kind}-*.csv")]):
        name, seed = file.relative_to(folder).parts[0], file.stem.partition("-")[2]
        with file.open(newline="", encoding="utf-8") as lines:
            told = [row for row in csv.DictReader(lines) if column in row]
        rows = [(float(row["step"]), float(row[column])) for row in told]
        if rows:
            found[f"{name}, seed {seed}" if seed else name] = _thinned(np.array(rows))
    return found


def arm_curves(task: str) -> dict[str, dict[str, Curve]]:
    """The curve of every arm that was trained whole: by candidate and labels, then by arm."""
    found: dict[str, dict[str, Curve]] = {}
    file = settings.OUT / "finetune" / task / "records.json"
    arms = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    for arm in (each for each in arms if each.get("curve")):
        group = f"{arm['candidate']}, {words.labels(arm['labels'])}"
        name = f"{words.init(arm)}, seed {arm['seed']}"
        found.setdefault(group, {})[name] = Curve(*np.array(arm["curve"], float).T)
    return found


def _thinned(rows: np.ndarray, points: int = POINTS) -> Curve:
    """At most so many points of (n, 2) steps and losses: each the mean of its neighbours."""
    parts = np.array_split(rows, min(points, len(rows)))
    return Curve(*np.array([part.mean(0) for part in parts]).T)


def _searched(folder: Path) -> Trials | None:
    """The trials of the search, where there was one: of no trials there is nothing to tell."""
    file = folder / "trials.jsonl"
    return read_trials(folder) if file.is_file() and file.stat().st_size else None
