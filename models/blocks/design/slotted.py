"""Costs in closed form of the slots of AnyNets, of one or a million: each operator tells its own.

Rule: pycls, as models/blocks/design/costs.py.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.blocks.design.costs import Stages
from models.blocks.layers.anynet import fit_group_arrays

__all__ = ["Chosen", "add_slots", "last_stages"]

# what makes an operator, a functools.partial, and how many last stages of each network have it
Chosen = tuple[Any, np.ndarray]


def add_slots(
    total: dict[str, np.ndarray],
    stages: Stages,
    side: int,
    spatials: Sequence[Chosen],
    afters: Sequence[Chosen],
) -> None:
    """Add to the costs of networks without slots, by kind, what slots add and take away.

    side: of the map that the stem gives, in places.
    """
    widths, inner, groups = fit_group_arrays(*stages[1:])
    for i, (d, w, v, g) in enumerate(zip(stages.depths, widths, inner, groups, strict=True)):
        before, side = side, -(-side // 2)
        for slot, having in afters:
            one = _cost(slot, w, size=(side, side))
            _add(total, {kind: d * count for kind, count in one.items()}, stages, having, i)
        gone = {"params": 9 * g * v, "flops": 9 * g * v * side**2, "acts": v * side**2}
        for slot, having in spatials:
            first = _cost(slot, v, v, stride=2, size=(before, before))
            other = _cost(slot, v, v, stride=1, size=(side, side))
            more = {k: first[k] + (d - 1) * other[k] - d * gone[k] for k in gone}
            _add(total, more, stages, having, i)


def last_stages(stages: Stages, having: np.ndarray) -> np.ndarray:
    """Whether a stage (stages, networks) is one of the last `having` of its network."""
    number = (stages.depths > 0).sum(0)
    places = np.arange(len(stages.depths))[:, None]
    return (places < number) & (places >= number - having)


def _cost(slot: Any, *channels: np.ndarray, **shape: Any) -> dict[str, np.ndarray]:
    return slot.func.cost(*channels, **shape, **slot.keywords)


def _add(
    total: dict[str, np.ndarray],
    more: dict[str, np.ndarray],
    stages: Stages,
    having: np.ndarray,
    stage: int,
) -> None:
    where = last_stages(stages, having)[stage]
    for kind, count in total.items():
        count += np.where(where, more[kind], 0)
