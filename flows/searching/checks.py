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
    if section["trials"] != 0 and not any(section[budget] for budget in BUDGETS):
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


def check_winner(candidates: dict[str, Any], winner: str) -> None:
    """ValueError where another kind of backbone is found than a candidate of the search's has.

    DVC goes by that. candidates: of params.yaml. winner: the kind that the space makes.
    """
    written = (settings.OUT / "search" / "winner.yaml").as_posix()
    for candidate, about in candidates.items():
        if about["section"] == written and about["backbone"] != winner:
            found = f"{about['backbone']}, but the search makes it a {winner}"
            raise ValueError(f"candidates.{candidate}.backbone: {found}: write that")
