"""What DVC shows of a run, in `dvc metrics`, `dvc exp show` and `dvc plots`."""

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

SHOWN = {  # the name that DVC shows, and the record's
    "top1": "top1_mean",
    "top1_low": "top1_low",
    "top1_high": "top1_high",
    "lower_bound": "top1_mean_lower_bound",
    "latency_p50_ms": "latency_p50_ms",
}
TIMES = {"latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "images_per_second"}


def compared(key: str, busy: Any) -> str:
    """The name of a number, another one for a time that other work may have stretched.

    So that no page, diff or plot sets it beside the times of a quiet machine.
    """
    return f"{key}_busy" if busy and key in TIMES else key


def ranked(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The models from the worst to the challenger, so that the newest version is the best.

    The first target comes last, as it decides; within a target, validation accuracy decides and the
    test split has no say; of equal ones the cheaper is better, then the one that is named first.
    """
    targets = list(dict.fromkeys(record["target"] for record in records))

    def merit(record: dict[str, Any]) -> tuple[int, float, float]:
        return -targets.index(record["target"]), record["val_top1"], -record["flops"]

    return sorted(records, key=merit, reverse=True)[::-1]  # of equal ones the first comes last


def challenger(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the stage register proposes: the best validation accuracy on the first target."""
    return ranked(records)[-1]


def numbers(records: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Test accuracy in percent, its 95 % interval and lower bound, and latency in ms, by model.

    A latency of a busy machine is `latency_p50_ms_busy`: no diff compares it with a quiet one's.
    `challenger` is one of them again: a name that stays when the best model is another.
    """
    found = {}
    for record in [challenger(records), *records]:
        name = record["model"] if found else "challenger"
        busy = record.get("busy")
        found[name] = {compared(shown, busy): record[key] for shown, key in SHOWN.items()}
    return found


def write(
    out: Path, records: Sequence[dict[str, Any]], predicted: Iterable[tuple[str, str]]
) -> None:
    """metrics.json, and confusion.csv: a row for each test image of the challenger.

    predicted: (class, class predicted) of each.
    """
    (out / "metrics.json").write_text(json.dumps(numbers(records), indent=1) + "\n")
    with (out / "confusion.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("actual", "predicted"), *predicted])
