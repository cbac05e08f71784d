"""What is known of a task's models of scenes: names of classes, numbers, curves, tables.

The stage evaluate left it (flows/measuring/details.py).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from flows.reports.models.findings import Findings, Record, shown

OTHERS = 4  # further models that images are shown of
NOTHING = "nothing"
# what is told of each class: the number, what it is of, of what there are so many
BY_CLASS = {"objects": ("ap", "average precision", "truths", "object")}
BY_CLASS |= {"semantic": ("iou", "IoU", "pixels", "pixel")}
BY_CLASS |= {"panoptic": ("pq", "panoptic quality", "", "")}


class Told(NamedTuple):
    """What is known of one model of scenes: the names of classes, its record, its details."""

    names: list[str]
    record: Record
    details: Mapping[str, Any]

    @property
    def seeds(self) -> list[Mapping[str, Any]]:
        """What is known of each."""
        return self.details["by_seed"]

    @property
    def kind(self) -> str:
        """`objects`, `panoptic` or `semantic`."""
        return self.details["kind"]


def told(known: Mapping[str, Any], record: Record) -> Told | None:
    """What a task's details tell of a model, if they do."""
    details = known["models"].get(record["model"])
    return Told(known["names"], record, details) if details else None


def told_of(findings: Findings, task: str) -> list[Told]:
    """What is known of the models of a task: of that which is shown first, then the best ones."""
    records = findings.of(task)
    known = findings.details.get(task, {"names": [], "models": {}})
    first = shown(records, [findings.alias(record) for record in records])
    ordered = [first, *(record for record in records if record is not first)]
    found = [told(known, record) for record in ordered]
    return [one for one in found if one]


def mean_curve(one: Told, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(x, y), the mean over seeds."""
    lines = []
    for seed in one.seeds:
        lines += [each for each in seed["picture"]["series"] if each["name"] == name]
    return np.array(lines[0]["x"]), np.mean([each["y"] for each in lines], 0)


def class_table(one: Told) -> tuple[list[str], list[list[Any]]]:
    """(head, rows) of the classes: name, mean over seeds, each seed."""
    key = BY_CLASS[one.kind][0]
    by_seed = [class_rows(seed, key) for seed in one.seeds]
    rows = []
    for label in common_classes(by_seed):
        values = [round(each[label][key], 3) for each in by_seed]
        rows.append([name_of(one, label), round(float(np.mean(values)), 3), *values])
    seeds = [f"seed {place}" for place in range(1, len(by_seed) + 1)]
    return ["class", key, *seeds], rows


def curve_table(one: Told) -> tuple[list[str], list[list[float]]] | None:
    """(head, rows) of precision over recall; None where there are no curves."""
    if one.seeds[0].get("picture") is None:
        return None
    names = [each["name"] for each in one.seeds[0]["picture"]["series"]]
    curves_ = [mean_curve(one, name) for name in names]
    rows = zip(curves_[0][0].tolist(), *(y.round(3).tolist() for _, y in curves_), strict=True)
    return ["recall %", *names], list(map(list, rows))


def class_rows(seed: Mapping[str, Any], key: str) -> dict[int, Mapping[str, Any]]:
    """The rows of a seed by their class, of those that have a number."""
    return {row["class"]: row for row in seed["rows"] if row[key] >= 0}


def common_classes(by_seed: Sequence[Mapping[int, Any]]) -> list[int]:
    """The classes that all seeds have a number of."""
    common = list(by_seed[0])
    for rows in by_seed[1:]:
        common = [label for label in common if label in rows]
    return common


def name_of(one: Told, label: int) -> str:
    """The name of a class; its number where it has none."""
    return one.names[label] if label < len(one.names) else str(label)


def mean_of(one: Told, *keys: str) -> float:
    """The mean over seeds of what lies under these keys."""
    values = []
    for seed in one.seeds:
        value: Any = seed
        for key in keys:
            value = value[key]
        values.append(value)
    return float(np.mean(values))


def whole_confusion(one: Told) -> np.ndarray:
    """int64 (classes + 1, classes + 1): the last row and column are NOTHING."""
    counts = np.array(one.details["confusion"], np.int64)
    whole = np.zeros((counts.shape[1], counts.shape[1]), np.int64)
    # of pixels there is no row of what is found at nothing
    whole[: len(counts)] = counts
    return whole


def first_of_each(entries: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """One image of each rank."""
    first = {entry["rank"]: entry for entry in reversed(entries)}
    return [entry for entry in entries if first[entry["rank"]] is entry]


def ids_shown(models: Sequence[Told]) -> list[str]:
    """Ids of the images that `images` shows."""
    entries = list(models[0].details["examples"])
    for other in models[1 : 1 + OTHERS]:
        entries += first_of_each(other.details["examples"])
    return [entry["id"] for entry in entries]
