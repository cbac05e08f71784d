"""The files that a finished search leaves."""

import csv
import itertools
import json
import platform
from pathlib import Path
from typing import Any

import optuna
import torch
import yaml

from engine.core.device import device
from engine.measure.profile import device_name
from flows.reports.search.page import write_page
from flows.searching.ranking import Row, outcome_counts, winner
from flows.searching.search import BUDGETS, CHANGEABLE, Search

NOT_TOLD = ("reference", "head", "resampling", "seed", *CHANGEABLE)  # here, or not at all


def _write_rows(rows: list[Row], path: Path) -> None:
    """Write rows as JSON lines, and as CSV beside them: plain values, and those of the axes."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    flat = [_flat(row) for row in rows]
    columns = dict.fromkeys(itertools.chain.from_iterable(flat))
    with path.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(flat)


def _flat(row: Row) -> Row:
    plain = {key: value for key, value in row.items() if not isinstance(value, dict | list)}
    return plain | row.get("values", {})


def _without_seconds(rows: list[Row]) -> list[Row]:
    """Rows that are the same for the same search; MLflow has their seconds."""
    return list(map(_timeless, rows))


def _timeless(row: Row) -> Row:
    return {key: value for key, value in row.items() if key != "seconds"}


def _about(section: dict[str, Any], origin: dict[str, str]) -> dict[str, Any]:
    """What the report says of the search itself: where each number of it comes from."""
    found = {name: value for name, value in section.items() if value and name not in NOT_TOLD}
    found["retrain"] = section["retrain"]
    found["budget"] = {name: section[name] for name in BUDGETS if section[name]}
    found["seed"] = section["seed"]
    found["device"] = device_name(device())
    python = f"Python {platform.python_version()}"
    found["versions"] = f"torch {torch.__version__}, Optuna {optuna.__version__}, {python}"
    return found | origin


def write(
    out: Path, search: Search, section: dict[str, Any], origin: dict[str, str]
) -> tuple[dict[str, float], str]:
    """Write all files of a finished search; its metrics, and a line that tells how it ended."""
    found = _without_seconds(search.rows())
    reference, *again = _without_seconds(search.final_rows())
    _write_rows([reference, *found], out / "trials.jsonl")
    _write_rows(again, out / "retrained.jsonl")
    write_page(out, [reference, *found], again, _about(section, origin))
    best = winner(found, again)
    (out / "winner.yaml").write_text(yaml.safe_dump(best["network"], sort_keys=False))
    metrics = {"error_best": best["error"], "trials": len(found)}
    ended = reference["outcome"]
    if reference["error"] is not None:
        metrics["error_reference"] = reference["error"]
        ended = f"{reference['error']:.1f} %"
    counts = outcome_counts(found)
    return metrics, f"search: best error {best['error']:.1f} % of {counts}, reference {ended}"
