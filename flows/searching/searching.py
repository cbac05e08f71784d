"""What a search checks before it begins, who wins it, and the files that it leaves.

Flows/search.py calls it.

Apart from the stage's flow, whose --help must not wait for torch and Optuna.
"""

from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Any

from engine.core.build import options
from flows.running import settings
from flows.searching.attempt import OBJECTIVES, ranked
from flows.searching.samplers import ordered
from flows.searching.sweep import Retrain


def means(retrained: list[dict[str, Any]]) -> dict[int, float]:
    """Mean error of each network that was trained again to the end, by trial."""
    errors: dict[int, list[float]] = {}
    for row in ranked(retrained):
        errors.setdefault(row["trial"], []).append(row["error"])
    return {trial: fmean(found) for trial, found in errors.items()}


def counts(rows: list[dict[str, Any]]) -> str:
    """How many networks had each outcome: `5 complete, 1 diverged`."""
    return ", ".join(
        f"{n} {outcome}" for outcome, n in Counter(row["outcome"] for row in rows).items()
    )


def winner(rows: list[dict[str, Any]], retrained: list[dict[str, Any]]) -> dict[str, Any]:
    """The best network: of those trained again the one of lowest mean, otherwise that of lowest
    error.
    """
    if not (best := ranked(rows)):
        reasons = sorted({row["reason"] for row in rows if "reason" in row})[:3]
        raise ValueError(
            f"search: no network was trained to the end ({counts(rows)}); {'; '.join(reasons) or 'prune less'}"
        )
    if again := means(retrained):
        return next(row for row in rows if row["trial"] == min(again, key=again.get))
    return best[0]


def checked(section: dict[str, Any]) -> dict[str, Any]:
    """The section with its parts checked; ValueError with cause and fix."""
    options(Retrain, section["retrain"], "search.retrain")
    if wrong := [name for name in section["objectives"] if name not in OBJECTIVES]:
        raise ValueError(f"search.objectives: {wrong[0]!r} is none of {', '.join(OBJECTIVES)}")
    if "error" not in section["objectives"]:
        raise ValueError("search.objectives: add error, by which the winner is chosen")
    if len(section["objectives"]) > 1 and section["pruner"] != {"name": "NopPruner"}:
        raise ValueError(
            "search.pruner: several objectives cannot be pruned: take {name: NopPruner}"
        )
    if section["warm_start"] and section["sampler"].get("name", "").startswith("NSGA"):
        raise ValueError(
            "search.warm_start: NSGA-II learns from its own generations only: take TPESampler or GPSampler"
        )
    if any(
        Path(folder).resolve() == (settings.OUT / "search").resolve()
        for folder in section["warm_start"]
    ):
        raise ValueError(
            "search.warm_start: this search writes out/search itself: copy the earlier one elsewhere"
        )
    if not any(section[budget] for budget in ("trials", "hours", "images")):
        raise ValueError("search: name a budget: trials, hours or images")
    return section


def networks(section: dict[str, Any]) -> int | None:
    """How many networks may be trained side by side unless the user says so.

    None as many as the machine takes.

    One where their order matters: so a search is the same on every machine. Else all, and the
    reference.
    """
    if ordered(section):
        return 1
    return section["trials"] and section["trials"] + 1


def fits(candidates: dict[str, str], winner: str, reference: dict[str, Any]) -> None:
    """ValueError where another kind of backbone is handed on than params.yaml says.

    DVC goes by that. candidates: of params.yaml. winner: the kind that the space makes.
    """
    kinds = {"winner": winner, "baseline": reference["name"]}
    for candidate, name in candidates.items():
        if kinds.get(candidate, name) != name:
            found = f"the search makes it a {kinds[candidate]}"
            raise ValueError(f"candidates.{candidate}: {name}, but {found}: write that")
