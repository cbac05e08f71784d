"""The values that a task chooses from: keys of a recipe or a head, each value in its range."""

import itertools
import math
from collections.abc import Sequence
from typing import Any

from engine.core.build import options, resolve
from engine.core.network import FACTS
from engine.training.optimizers import called
from engine.training.recipe import Recipe
from engine.transfer.tuning import SCRATCH, combinations, is_fitted, known_keys, tuned_keys

PRETRAINED = "pretrained"  # all inits but scratch
MOST = 10_000  # combinations of a grid's values, each of which is a training


def validate_grid(task: dict[str, Any], where: str) -> None:
    """Check each value that a task chooses from, then the combinations that there are."""
    heads = {name: {"name": name} | head for name, head in task["heads"].items()}
    names = [*heads, PRETRAINED, *task["inits"]]
    _check_keys(task["grid"], heads, names, where)
    for init, (name, head) in itertools.product(task["inits"], heads.items()):
        keys = tuned_keys(head)
        lists = {key: values for key, values in task["grid"].items() if key in keys}
        for narrower in (name, PRETRAINED if init != SCRATCH else init, init):
            own = task["grid"].get(narrower, {})
            lists |= {key: values for key, values in own.items() if key in keys}
        # counted before they are made: a product may be larger than memory
        count = math.prod(map(len, lists.values()))
        if count > MOST:
            many = f"{count:,} combinations for {name}, each a training"
            raise ValueError(f"{where}: {many}: list fewer values")
        for key, values in lists.items():
            _check_values(task, head, key, values, where)
        for chosen in combinations(task["grid"], init, name, heads):
            _check_choice(task, head, chosen, where)


def _check_keys(
    grid: dict[str, Any], heads: dict[str, dict[str, Any]], names: list[str], where: str
) -> None:
    """ValueError for a key that no head has, and for one that has no list of values."""
    every = known_keys()
    for key, values in grid.items():
        if key not in names:
            _check_lists({key: values}, every, where, names)
            continue
        if not isinstance(values, dict):
            expected = "expected keys and lists of values"
            raise ValueError(f"{where}.{key}: found {values!r}, {expected}")
        mine = tuned_keys(heads[key]) if key in heads else every
        _check_lists(values, mine, f"{where}.{key}", [])


def _check_lists(lists: dict[str, Any], known: Sequence[str], where: str, names: list[str]) -> None:
    for key, values in lists.items():
        if key not in known:
            told = ", ".join(dict.fromkeys([*names, *known]))
            raise ValueError(f"{where}: unknown key {key!r}: give one of {told}")
        if not isinstance(values, list) or not values:
            expected = "expected a list of values to choose from"
            raise ValueError(f"{where}.{key}: found {values!r}, {expected}")


def _check_values(
    task: dict[str, Any], head: dict[str, Any], key: str, values: list[Any], where: str
) -> None:
    for place, value in enumerate(values):
        # each alone, for its range; the combinations, for what does not go together
        _check_choice(task, head, {key: value}, where)
        if value in values[:place]:
            raise ValueError(f"{where}.{key}: {value!r} is listed twice")


def _check_choice(
    task: dict[str, Any], head: dict[str, Any], values: dict[str, Any], where: str
) -> None:
    """Check hyper-parameters of a head, or of the recipe by which it is trained."""
    if is_fitted(head):
        resolve("heads", head | values, where, FACTS)
    else:
        called(Recipe(**options(Recipe, task["recipe"] | values, where)), f"{where}.optimizer")
