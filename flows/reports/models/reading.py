"""What the report of models needs out of the files that the stages left; torch is not among it."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flows.measuring.stored import pictures, set_of
from flows.registry import champion
from flows.reports.models import words
from flows.reports.models.findings import Curve, Findings, Leader, shown
from flows.reports.models.mistakes import surest, worst
from flows.reports.models.tables import answered, duplicated, labelled, repeated_in_train
from flows.running import settings
from flows.searching.trials import Trials, read_trials

Record = dict[str, Any]
POINTS = 250  # of a learning curve
SECTIONS = ("pretrain", "finetune", "evaluate")  # of params.yaml, that the page shows


def read(
    records: Sequence[Record],
    gains: list[Record],
    versions: dict[str, str],
    decision: str,
    origin: dict[str, str],
    links: dict[str, str] | None = None,
    leaders: Mapping[str, Any] | None = None,
) -> Findings:
    """All findings; what a stage did not leave is not there.

    leaders: versions of MLflow's registry by alias. ValueError for a file that is damaged.
    """
    targets = list(dict.fromkeys(record["target"] for record in records))
    ordered = sorted(records, key=lambda each: (targets.index(each["target"]), -each["top1_mean"]))
    known = {alias: leader(version) for alias, version in (leaders or {}).items() if version}
    found = Findings(
        records=ordered,
        gains=gains,
        versions=versions,
        decision=decision,
        origin=origin,
        links=links or {},
        leaders=known,
        curves=curves(settings.OUT / "pretrain"),
        arms=arm_curves(targets[0]),
        labels=labelled(targets),
        trained={name: repeated_in_train(set_of(name)) for name in targets},
        search=_searched(settings.OUT / "search"),
        settings=_sections(),
    )
    found.duplicates.update(duplicated(targets))
    _look_into(found)
    return found


def _look_into(found: Findings) -> None:
    """Adds the answers of each target's leading model, and the first target's worst mistakes."""
    for target in found.targets:
        its = found.of(target)
        looked = shown(its, [found.alias(record) for record in its])
        answers = answered(looked["model"], target)
        if answers:
            found.answers[target] = answers
    first = found.targets[0]
    if first in found.answers:
        answers = found.answers[first]
        ids = [mistake.id for mistake in worst(answers)]
        ids += [answers.ids[place] for place, _ in surest(answers)]
        found.pictures.update(pictures(set_of(first), ids))


def leader(version: Any) -> Leader:
    """What a version of the registry says of itself."""
    labels = version.tags
    model = labels.get("tagdag.model", "a model of another tool")
    ends = (champion.tag_number(labels, key) for key in ("top1_low", "top1_high"))
    return Leader(str(version.version), model, champion.version_accuracy(labels), *ends)


def _sections() -> dict[str, Any]:
    """The sections of params.yaml that the models were made by."""
    found = settings.load_params()
    return {name: found[name] for name in SECTIONS if name in found}


def curves(folder: Path) -> dict[str, Curve]:
    """The learning curve of every pretraining: `winner`; of further seeds `winner, seed 3`."""
    found = {}
    for file in sorted([*folder.glob("*/curve.csv"), *folder.glob("*/seeds/curve-*.csv")]):
        name, seed = file.relative_to(folder).parts[0], file.stem.partition("-")[2]
        with file.open(newline="", encoding="utf-8") as lines:
            rows = [(float(row["step"]), float(row["loss"])) for row in csv.DictReader(lines)]
        if rows:
            found[f"{name}, seed {seed}" if seed else name] = _thinned(np.array(rows))
    return found


def arm_curves(target: str) -> dict[str, dict[str, Curve]]:
    """The curve of every arm that was trained whole: by candidate and labels, then by arm."""
    found: dict[str, dict[str, Curve]] = {}
    for file in sorted((settings.OUT / "finetune").glob("*/records.json")):
        arms = json.loads(file.read_text(encoding="utf-8"))
        # records of an earlier tagdag have no curve
        for arm in (each for each in arms if each["target"] == target and each.get("curve")):
            group = f"{arm['candidate']}, {words.labels(arm['labels'])}"
            name = f"{words.INITS.get(arm['init'], arm['init'])}, seed {arm['seed']}"
            found.setdefault(group, {})[name] = Curve(*np.array(arm["curve"], float).T)
    return found


def _thinned(rows: np.ndarray, points: int = POINTS) -> Curve:
    """At most so many points of (n, 2) steps and losses: each the mean of its neighbours."""
    parts = np.array_split(rows, min(points, len(rows)))
    return Curve(*np.array([part.mean(0) for part in parts]).T)


def _searched(folder: Path) -> Trials | None:
    """The trials of the search, where there was one."""
    return read_trials(folder) if (folder / "trials.jsonl").is_file() else None
