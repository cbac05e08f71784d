"""The files that a finished search leaves."""

import csv
import json
import platform
from pathlib import Path
from typing import Any

import optuna
import torch
import yaml

from engine.core.device import device
from engine.measure.profile import device_name
from flows.reports import searchreport
from flows.searching.searching import counts, winner
from flows.searching.sweep import BUDGETS, Search


def lines(rows: list[dict[str, Any]], path: Path) -> None:
    """Write rows as JSON lines, and as CSV beside them, nested values dotted."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    flat = [
        {k: v for k, v in row.items() if not isinstance(v, dict | list)} | row.get("values", {})
        for row in rows
    ]
    with path.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.DictWriter(
            file, dict.fromkeys(key for row in flat for key in row), lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows(flat)


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows that are the same for the same search; MLflow has their seconds."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def about(section: dict[str, Any], origin: dict[str, str]) -> dict[str, Any]:
    """What the report says of the search itself: where each number of it comes from."""
    left_out = ("reference", "head", "resampling", "seed", *BUDGETS)
    budget = {name: section[name] for name in ("trials", "hours", "images") if section[name]}
    told = {name: value for name, value in section.items() if value and name not in left_out}
    told |= {"retrain": section["retrain"], "budget": budget, "seed": section["seed"]}
    versions = f"torch {torch.__version__}, Optuna {optuna.__version__}, Python {platform.python_version()}"
    return told | {"device": device_name(device()), "versions": versions, **origin}


def written(
    out: Path, joined: Search, section: dict[str, Any], origin: dict[str, str]
) -> tuple[dict[str, float], str]:
    """Write all files of a finished search; its metrics, and a line that tells how it ended."""
    found, (first, *again) = timeless(joined.rows()), timeless(joined.finished())
    lines([first, *found], out / "trials.jsonl")
    lines(again, out / "retrained.jsonl")
    searchreport.write(out, [first, *found], again, about(section, origin))
    best = winner(found, again)
    (out / "winner.yaml").write_text(yaml.safe_dump(best["network"], sort_keys=False))
    (out / "baseline.yaml").write_text(yaml.safe_dump(section["reference"], sort_keys=False))
    errors = {"error_best": best["error"], "error_reference": first["error"], "trials": len(found)}
    told = first["outcome"] if first["error"] is None else f"{first['error']:.1f} %"
    line = f"search: best error {best['error']:.1f} % of {counts(found)}, reference {told}"
    return {name: value for name, value in errors.items() if value is not None}, line
