"""X3D's settings: the stages that they make, what these cost in closed form, and how each grows.

Feichtenhofer 2020, "X3D: Expanding Architectures for Efficient Video Recognition", arXiv
2004.04730, table 1 and section 3.1.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, count, repeat
from math import ceil
from typing import Any, NamedTuple

from models.blocks.design.scaling import near_eights

__all__ = ["GROWN", "Stage", "squeezed", "x3d_multiply_adds", "x3d_stages"]

STEPS = {"width": 10, "depth": 10, "bottleneck": 20}  # to a factor that is one more
GATED = 2  # every second block has a gate, the first one too


class Stage(NamedTuple):
    """Blocks, and channels inside and outside of their bottlenecks."""

    blocks: int
    inner: int
    outputs: int


def x3d_stages(
    width: float, depth: float, bottleneck: float, stem_width: int, depths: Sequence[int]
) -> list[Stage]:
    """The stages of an X3D; the stem has the outputs of the first."""
    # the doubled widths are rounded before the factor comes, and again after it
    bases = accumulate(repeat(2, len(depths) - 1), _doubled, initial=stem_width)
    widths = [near_eights(base * width) for base in bases]
    return [
        Stage(ceil(depth * blocks), max(1, int(bottleneck * w)), w)
        for blocks, w in zip(depths, widths, strict=True)
    ]


def _doubled(base: int, factor: int) -> int:
    return near_eights(factor * base)


def squeezed(inner: int, block: int, se_ratio: float) -> int:
    """Channels of the gate of a block, counted from 0; 0 where it has none."""
    return 0 if block % GATED or not se_ratio else near_eights(inner * se_ratio)


def x3d_multiply_adds(section: dict[str, Any], frames: int, side: int, classes: int = 0) -> int:
    """Multiply-adds of a complete section of backbones/x3d at a clip, and of a linear layer.

    Biases aside. side: of the clip's square frames in pixels.
    """
    shape = ("width", "depth", "bottleneck", "stem_width", "depths")
    stages = x3d_stages(*(section[key] for key in shape))
    side = -(-side // section["stem_stride"])
    inputs = stages[0].outputs
    total = (27 + 5) * inputs * frames * side**2
    for blocks, inner, outputs in stages:
        before, side = frames * side**2, -(-side // 2)
        places = frames * side**2
        total += inner * inputs * before + inputs * outputs * places
        total += (blocks - 1) * inner * outputs * places
        total += blocks * (27 + outputs) * inner * places
        gates = [squeezed(inner, block, section["se_ratio"]) for block in range(blocks)]
        total += 2 * inner * sum(gates)
        inputs = outputs
    total += inputs * inner * places
    return total + section["head_width"] * (inner + classes)


def _grown(key: str) -> Callable[[dict[str, Any]], Iterator[dict[str, Any]]]:
    def sections(section: dict[str, Any]) -> Iterator[dict[str, Any]]:
        first = int(STEPS[key] * section[key]) + 1
        return (section | {key: step / STEPS[key]} for step in count(first))

    return sections


# complete sections of ever larger factors
GROWN = {key: _grown(key) for key in STEPS}
