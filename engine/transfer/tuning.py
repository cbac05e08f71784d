"""Hyper-parameters chosen on a held-out part of the training labels, then used with all of them.

The protocol of Mahajan et al. 2018 (arXiv 1805.00932), section 3; validation and test images are
not looked at.
"""

import dataclasses
import itertools
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from engine.core.samples import Rows
from engine.training.meter import Diverged
from engine.training.recipe import Recipe

log = logging.getLogger("tagdag")
WHERE = "finetune.grid"
INITS = ("pretrained", "scratch")
KEYS = {
    "full": tuple(field.name for field in dataclasses.fields(Recipe)),
    "linear": ("l2",),
    "knn": ("k", "temperature"),
}


def combinations(grid: dict[str, Any], init: str, mode: str) -> list[dict[str, Any]]:
    """Every combination of the values that the grid lists for a mode.

    `grid[init]` goes before what all inits share.

    ValueError for a key that no mode has, or that has no list.
    """
    known = [key for keys in KEYS.values() for key in keys]
    shared = {key: values for key, values in grid.items() if key not in INITS}
    own = shared | (grid.get(init) or {})
    for key, values in own.items():
        if key not in known:
            raise ValueError(
                f"{WHERE}: unknown key {key!r}: give one of {', '.join([*INITS, *known])}"
            )
        if not isinstance(values, list) or not values:
            raise ValueError(
                f"{WHERE}.{key}: found {values!r}, expected a list of values to choose from"
            )
    mine = {key: values for key, values in own.items() if key in KEYS[mode]}
    return [dict(zip(mine, values, strict=True)) for values in itertools.product(*mine.values())]


def hold_out(samples: Rows, share: float, generator: torch.Generator) -> tuple[Rows, Rows]:
    """(to fit on, held out): apart, and of every class the same share.

    A class of n >= 2 labels holds out round(share n), at least 1 and at most n - 1; one of a single
    label nothing.
    """
    assert 0 < share < 1, share
    labels, fit, held = samples.targets(torch.arange(len(samples))), [], []
    for label in labels.unique():
        rows = torch.nonzero(labels == label).flatten()
        rows = rows[torch.randperm(len(rows), generator=generator)]
        # one label at least is fitted on: of a class without one nothing is learnt
        count = min(max(round(share * len(rows)), 1), len(rows) - 1)
        held.append(rows[:count])
        fit.append(rows[count:])
    return samples.some(torch.cat(fit)), samples.some(torch.cat(held))


def choose_settings(
    settings: list[dict[str, Any]],
    samples: Rows,
    share: float,
    generator: torch.Generator,
    score: Callable[[dict[str, Any], Rows, Rows], float],
) -> dict[str, Any]:
    """{"chosen", "scores", "fit", "held_out"}: the settings of the best score on held-out labels.

    score(settings, fit, held out): of the samples to fit on and of those held out.

    The first of equals is taken; so is the first of all when no class has a label to spare.
    Settings that raise Diverged come last: their entry of `scores` has a top1 of 0.0 and
    `"diverged": True`. ValueError when all do.
    """
    fit, held = hold_out(samples, share, generator)
    if len(settings) == 1 or not len(held):
        return {"chosen": settings[0], "scores": [], "fit": len(samples), "held_out": 0}
    scores = [each | _scored(each, partial(score, each, fit, held)) for each in settings]
    # max takes the first of equals: the order of the grid decides
    best = max(range(len(scores)), key=lambda i: (not scores[i].get("diverged"), scores[i]["top1"]))
    if scores[best].get("diverged"):
        raise ValueError(
            f"{WHERE}: training diverged with each of its {len(settings)} combinations "
            f"({settings_text(settings[0])} and on): list lower rates, or set recipe.clip or a "
            "longer recipe.warmup"
        )
    return {"chosen": settings[best], "scores": scores, "fit": len(fit), "held_out": len(held)}


def _scored(settings: dict[str, Any], score: Callable[[], float]) -> dict[str, Any]:
    try:
        return {"top1": score()}
    except Diverged as error:
        # without the advice that follows in the message: other combinations are tried already
        log.warning(
            "%s: %s counts as the worst: %s",
            WHERE,
            settings_text(settings),
            str(error).split(";")[0],
        )
        return {"top1": 0.0, "diverged": True}


def settings_text(settings: dict[str, Any]) -> str:
    """Hyper-parameters in one line: `rate 0.4, weight_decay 0.0001`."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())
