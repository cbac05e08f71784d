"""A search's space and reference, and the classes of Optuna's that it names, in their ranges."""

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from engine.core.build import build, options, resolve
from flows.searching import checks
from flows.searching.samplers import PRUNERS, SAMPLERS, from_optuna
from models.blocks.ranges import Count, Least, Positive, Share, Whole

Two = Annotated[int, Field(ge=2)]


def optuna_numbers(
    n_startup_trials: Whole = 10,
    n_ei_candidates: Count = 24,
    prior_weight: Positive = 1.0,
    population_size: Two = 50,
    mutation_prob: Share | None = None,
    crossover_prob: Share = 0.9,
    swapping_prob: Share = 0.5,
    dividing_parameter: Count = 3,
    percentile: Annotated[float, Field(ge=0, le=100)] = 50.0,
    n_warmup_steps: Whole = 0,
    interval_steps: Count = 1,
    n_min_trials: Count = 1,
    min_resource: Count | Literal["auto"] = 1,
    max_resource: Count | Literal["auto"] = "auto",
    reduction_factor: Two = 3,
    min_early_stopping_rate: Whole = 0,
    bootstrap_count: Whole = 0,
    lower: Least | None = None,
    upper: Least | None = None,
) -> None:
    """The numbers of Optuna's samplers and pruners, which have no ranges; errors are in percent."""


KEYS = optuna_numbers.__annotations__.keys() - {"return"}


def validate_search(section: dict[str, Any]) -> None:
    """ValueError for what no search can begin with; section: search, complete."""
    resolve("spaces", section["space"], "search.space")
    validate_reference(section["reference"])
    validate_optuna(SAMPLERS, section["sampler"], "search.sampler", seed=0)
    validate_optuna(PRUNERS, section["pruner"], "search.pruner")
    checks.check_search(section)
    for folder in section["warm_start"]:
        if not Path(folder, "trials.jsonl").is_file():
            fix = "name folders such as out/search"
            raise ValueError(f"search.warm_start: {folder} holds no finished search: {fix}")


def validate_reference(section: dict[str, Any]) -> None:
    """Make the reference without memory; ValueError where it is none, or larger than any memory."""
    try:
        with torch.device("meta"):
            build("backbones", section, where="search.reference")
    except (RuntimeError, OverflowError) as error:  # sizes beyond 64 bits
        what = f"no memory holds such a network ({str(error).splitlines()[0][:100]})"
        raise ValueError(f"search.reference: {what}: give smaller numbers") from None


def validate_optuna(
    known: tuple[str, ...], section: dict[str, Any], where: str, **given: Any
) -> None:
    """Make a class of Optuna's of its section, once its numbers are in their ranges."""
    options(optuna_numbers, {key: value for key, value in section.items() if key in KEYS}, where)
    from_optuna(known, section, where, **given)
