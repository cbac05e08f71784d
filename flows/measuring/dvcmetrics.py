"""What DVC shows of a task, in `dvc metrics`, `dvc exp show` and `dvc plots`."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from flows.measuring.headline import of_record

TIMES = {"latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "images_per_second"}
TIMES |= {"latency_video_p50_ms"}


def compared(key: str, busy: Any) -> str:
    """The name of a number, another one for a time that other work may have stretched.

    So that no page, diff or plot sets it beside the times of a quiet machine.
    """
    return f"{key}_busy" if busy and key in TIMES else key


def ranked(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The models of a task from the worst to the challenger: the newest version is the best.

    Validation decides and the test split has no say; of equal ones the cheaper is better, then the
    one that is named first.
    """

    def merit(record: dict[str, Any]) -> tuple[float, float]:
        return of_record(record).merit(record["val"]), -record["flops"]

    return sorted(records, key=merit, reverse=True)[::-1]  # of equal ones the first comes last


def challenger(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the stage register proposes for a task: the best on validation."""
    return ranked(records)[-1]


def _shown(record: dict[str, Any]) -> dict[str, float]:
    """The headline with its 95 % interval and lower bound, and latency in ms."""
    name, busy = of_record(record).name, record.get("busy")
    found = {name: record["value"], f"{name}_low": record["low"], f"{name}_high": record["high"]}
    found["lower_bound"] = record.get("bound")
    found[compared("latency_p50_ms", busy)] = record["latency_p50_ms"]
    return {key: value for key, value in found.items() if value is not None}


def numbers(records: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """What is shown of each model, by its name.

    A latency of a busy machine is `latency_p50_ms_busy`: no diff compares it with a quiet one's.
    `challenger` is one of them again: a name that stays when the best model is another.
    """
    found = {"challenger": _shown(challenger(records))}
    return found | {record["model"]: _shown(record) for record in records}


def write(
    out: Path, records: Sequence[dict[str, Any]], predicted: Iterable[tuple[str, str]]
) -> None:
    """metrics.json, and confusion.csv: a row for each test sample of the challenger.

    predicted: (class, class predicted) of each; none where samples have no class each, and the file
    then holds its head only: DVC wants every output that it knows of.
    """
    (out / "metrics.json").write_text(json.dumps(numbers(records), indent=1) + "\n")
    with (out / "confusion.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("actual", "predicted"), *predicted])
