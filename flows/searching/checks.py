"""What a search checks before it begins.

Apart from the stage's flow in flows/search.py, whose --help must not wait for torch and Optuna.
"""

from pathlib import Path
from typing import Any

from engine.core.build import options
from flows.running import settings
from flows.searching.samplers import order_matters
from flows.searching.search import BUDGETS, Retrain
from flows.searching.trial import OBJECTIVES


def check_search(section: dict[str, Any]) -> dict[str, Any]:
    """The section with its parts checked; ValueError with cause and fix."""
    options(Retrain, section["retrain"], "search.retrain")
    _check_objectives(section["objectives"], section["pruner"])
    _check_earlier(section["warm_start"], section["sampler"])
    if not any(section[budget] for budget in BUDGETS):
        raise ValueError("search: name a budget: trials, hours or images")
    return section


def _check_objectives(objectives: list[str], pruner: dict[str, Any]) -> None:
    for name in objectives:
        if name not in OBJECTIVES:
            raise ValueError(f"search.objectives: {name!r} is none of {', '.join(OBJECTIVES)}")
    if "error" not in objectives:
        raise ValueError("search.objectives: add error, by which the winner is chosen")
    if len(objectives) > 1 and pruner != {"name": "NopPruner"}:
        raise ValueError(
            "search.pruner: several objectives cannot be pruned: take {name: NopPruner}"
        )


def _check_earlier(folders: list[str], sampler: dict[str, Any]) -> None:
    if folders and sampler.get("name", "").startswith("NSGA"):
        raise ValueError(
            "search.warm_start: NSGA-II learns from its own generations only: take TPESampler or "
            "GPSampler"
        )
    own = (settings.OUT / "search").resolve()
    if any(Path(folder).resolve() == own for folder in folders):
        raise ValueError(
            "search.warm_start: this search writes out/search itself: copy the earlier one "
            "elsewhere"
        )


def most_workers(section: dict[str, Any]) -> int | None:
    """How many networks may be trained side by side unless the user says so.

    One where their order matters: so a search is the same on every machine. Else all of them, and
    the reference; None where their number is not known: as many as the machine takes.
    """
    if order_matters(section):
        return 1
    return section["trials"] and section["trials"] + 1


def check_kinds(candidates: dict[str, str], winner: str, reference: dict[str, Any]) -> None:
    """ValueError where another kind of backbone is handed on than params.yaml says.

    DVC goes by that. candidates: of params.yaml. winner: the kind that the space makes.
    """
    kinds = {"winner": winner, "baseline": reference["name"]}
    for candidate, name in candidates.items():
        if kinds.get(candidate, name) != name:
            found = f"the search makes it a {kinds[candidate]}"
            raise ValueError(f"candidates.{candidate}: {name}, but {found}: write that")
