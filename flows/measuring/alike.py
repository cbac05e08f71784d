"""What models have in common: networks that cost the same, tests whose numbers can be compared."""

from pathlib import Path

from engine.core.digest import digest
from engine.core.part import part_of
from flows.measuring.summary import Record

UNPRICED = {"k", "temperature", "l2"}  # options of a head that change what it says, not its cost
SAME = {"logistic": "linear"}  # heads of the same layers, fitted in the place of trained
USUAL = {"metric": {"name": "accuracy"}, "policy": {"name": "plain"}}


def network_of(record: Record, classes: int) -> str:
    """What a network is called whose costs are told once: seeds, inits and labels share it."""
    head = {key: value for key, value in record["head"].items() if key not in UNPRICED}
    name = head.pop("name")
    parts = [SAME.get(name, name), *(f"{key} {value}" for key, value in head.items())]
    told = f"{record['candidate']}, head {' '.join(map(str, parts))}"
    return f"{told}, {classes} classes, {record['size']} px"


def labels_seen(labels: float | str, available: dict[str, int]) -> dict[str, int]:
    """How many training labels of each class a model has seen.

    labels: as an arm has them. Of a share, where samples have several classes, about so many.
    """
    if labels == "all":
        return available
    if isinstance(labels, float):
        return {name: part_of(labels, count) for name, count in available.items()}
    return {name: min(int(labels), count) for name, count in available.items()}


def tested_digest(folder: Path, section: Record) -> str:
    """The digest of what a task is tested on, and how: numbers of equal ones can be compared."""
    index = digest(folder / "index.parquet")
    how = {key: section[key] for key in USUAL}
    # as before there were other metrics and policies: versions of then stay comparable
    return index if how == USUAL else digest(index, how)


def usual_size(section: Record, stored: int) -> int:
    """Pixels that a task's images are tested at, unless the stage evaluate is told others.

    stored: what their set has. Of scenes those of the shorter side.
    """
    objective = section.get("objective", {})
    shorter = objective.get("test_shorter") or max(objective.get("shorter") or [0])
    return shorter or section.get("resolution") or stored
