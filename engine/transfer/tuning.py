"""Hyper-parameters chosen on a held-out part of the training labels, then used with all of them.

The protocol of Mahajan et al. 2018 (arXiv 1805.00932), section 3; validation and test images are
not looked at.
"""

import dataclasses
import inspect
import itertools
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from engine.core.build import choices, plugin
from engine.core.network import FACTS
from engine.core.samples import Rows
from engine.training.meter import Diverged
from engine.training.recipe import Recipe

log = logging.getLogger("tagdag")
WHERE = "finetune.grid"
RECIPE = tuple(field.name for field in dataclasses.fields(Recipe))
SCRATCH = "scratch"  # the init of a backbone with new weights; all others are `pretrained`


def is_fitted(head: dict[str, Any]) -> bool:
    """Whether a head is fitted on features of a frozen backbone; else all is trained together."""
    return hasattr(plugin("heads", head.get("name"), "head"), "fit")


def tuned_keys(head: dict[str, Any]) -> tuple[str, ...]:
    """What may be chosen for a head: its own settings where it is fitted, else the recipe's."""
    if not is_fitted(head):
        return RECIPE
    known = inspect.signature(plugin("heads", head["name"], "head")).parameters
    return tuple(key for key in known if key not in FACTS)


def known_keys() -> list[str]:
    """What may be chosen for any head that there is, so that a task may leave one out."""
    found = list(RECIPE)
    for name in choices("heads"):
        found += tuned_keys({"name": name})
    return list(dict.fromkeys(found))


def combinations(
    grid: dict[str, Any], init: str, name: str, heads: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Every combination of the values that the grid lists for one of the heads.

    What the grid lists under the name of a head, under `scratch` or `pretrained`, or under that of
    a pretraining goes before what all share.

    heads: the sections of the task's heads by name. ValueError for a key that no head has, of this
    task or another, or that has no list.
    """
    known = known_keys()
    narrower = (name, SCRATCH if init == SCRATCH else "pretrained", init)
    own = {key: values for key, values in grid.items() if not isinstance(values, dict)}
    for each in dict.fromkeys(narrower):
        own |= grid.get(each) or {}
    for key, values in own.items():
        if key not in known:
            places = ", ".join([*heads, SCRATCH, "pretrained", *known])
            raise ValueError(f"{WHERE}: unknown key {key!r}: give one of {places}")
        if not isinstance(values, list) or not values:
            raise ValueError(
                f"{WHERE}.{key}: found {values!r}, expected a list of values to choose from"
            )
    keys = tuned_keys(heads[name])
    mine = {key: values for key, values in own.items() if key in keys}
    return [dict(zip(mine, values, strict=True)) for values in itertools.product(*mine.values())]


def hold_out(
    samples: Rows, target: str, share: float, generator: torch.Generator
) -> tuple[Rows, Rows]:
    """(to fit on, held out): apart, and of every class of the column `target` the same share.

    A class of n >= 2 labels holds out round(share n), at least 1 and at most n - 1; one of a single
    label nothing. Where a sample has several classes, or its target is no class, the share is one
    of all samples.
    """
    assert 0 < share < 1, share
    labels, fit, held = samples.column(target), [], []
    if not isinstance(labels, torch.Tensor) or labels.ndim > 1 or labels.is_floating_point():
        labels = torch.zeros(len(samples), dtype=torch.int64)
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
    parts: tuple[Rows, Rows],
    score: Callable[[dict[str, Any], Rows, Rows], float],
    higher: bool = True,
) -> dict[str, Any]:
    """{"chosen", "scores", "fit", "held_out"}: the settings of the best score on held-out labels.

    parts: as `hold_out` has them. score(settings, fit, held out): of the samples to fit on and of
    those held out. higher: whether a higher one is better.

    The first of equals is taken; so is the first of all when no class has a label to spare.
    Settings that raise Diverged come last: their entry of `scores` has a score of None and
    `"diverged": True`. ValueError when all do.
    """
    fit, held = parts
    if len(settings) == 1 or not len(held):
        whole = len(fit) + len(held)
        return {"chosen": settings[0], "scores": [], "fit": whole, "held_out": 0}
    scores = [each | _scored(each, partial(score, each, fit, held)) for each in settings]
    sign = 1 if higher else -1
    sound = [i for i in range(len(scores)) if not scores[i].get("diverged")]
    if not sound:
        raise ValueError(
            f"{WHERE}: training diverged with each of its {len(settings)} combinations "
            f"({settings_text(settings[0])} and on): list lower rates, or set recipe.clip or a "
            "longer recipe.warmup"
        )
    # max takes the first of equals: the order of the grid decides
    best = max(sound, key=lambda i: sign * scores[i]["score"])
    return {"chosen": settings[best], "scores": scores, "fit": len(fit), "held_out": len(held)}


def _scored(settings: dict[str, Any], score: Callable[[], float]) -> dict[str, Any]:
    try:
        return {"score": score()}
    except Diverged as error:
        # without the advice that follows in the message: other combinations are tried already
        log.warning(
            "%s: %s counts as the worst: %s",
            WHERE,
            settings_text(settings),
            str(error).split(";")[0],
        )
        return {"score": None, "diverged": True}


def settings_text(settings: dict[str, Any]) -> str:
    """Hyper-parameters in one line: `rate 0.4, weight_decay 0.0001`."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())
