"""Complexity of AnyNets in closed form, of one or a million: as counted of the built module.

Rule: multiply-adds of convolutions and linear layers, outputs of these, all parameters (pycls, the
code of Radosavovic, Kosaraju, Girshick, He, Dollár 2020, "Designing Network Design Spaces", arXiv
2003.13678).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.blocks.layers.anynet import fit_group_arrays

__all__ = ["KINDS", "Stages", "complexity"]

KINDS = ("params", "flops", "acts")


class Stages(NamedTuple):
    """Networks by their stages, arrays (stages, networks).

    Stages that a network lacks come last, with depth 0.
    """

    depths: np.ndarray
    widths: np.ndarray
    ratios: np.ndarray
    group_widths: np.ndarray


def complexity(
    stages: Stages,
    resolution: int,
    stem_width: int = 32,
    stem_stride: int = 2,
    se_ratio: float = 0.0,
    classes: int = 0,
    kinds: Sequence[str] = KINDS,
) -> dict[str, np.ndarray]:
    """{"params", "flops", "acts"}, or some of them, of networks and of a head of `classes`."""
    widths, inner, groups = fit_group_arrays(*stages[1:])
    present = stages.depths > 0
    if not present.all():
        widths, inner = widths * present, inner * present
    side, w_in = -(-resolution // stem_stride), np.int64(stem_width)
    first = {"params": 29 * w_in, "flops": 27 * w_in * side**2, "acts": w_in * side**2}
    total = {kind: np.full(present.shape[1:], first[kind]) for kind in kinds}
    for d, w, v, g in zip(stages.depths, widths, inner, groups, strict=True):
        larger, side = side**2, -(-side // 2)
        # weights met on the map before the stride, and after it
        before, after = w_in * v, d * v * (2 * w + 9 * g) + (w_in - v) * w
        gates, squeezed = _gates(d, w, v, w_in, se_ratio) if se_ratio else (0, 0)
        if "params" in kinds:
            total["params"] += before + after + 2 * (d * (2 * v + w) + w) + gates
        if "flops" in kinds:
            total["flops"] += before * larger + after * side**2 + gates
        if "acts" in kinds:
            total["acts"] += v * larger + (d * (2 * v + w) + w - v) * side**2 + squeezed
        w_in = np.where(d > 0, w, w_in)
    head = {"params": (w_in + 1) * classes, "flops": (w_in + 1) * classes, "acts": classes}
    return {kind: counted + head[kind] for kind, counted in total.items()}


def _gates(
    d: np.ndarray, w: np.ndarray, v: np.ndarray, w_in: np.ndarray, ratio: float
) -> tuple[np.ndarray, ...]:
    """Multiply-adds, which are the weights, and outputs of a stage's squeeze-and-excitations."""
    first, others = (np.rint(inputs * ratio).astype(np.int64) for inputs in (w_in, w))
    squeezed = (d > 0) * first + (d - 1) * others
    excited = v * ((first > 0) + (d - 1) * (others > 0))
    return (2 * v + 1) * squeezed + excited, squeezed + excited
