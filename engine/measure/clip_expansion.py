"""The six axes that a network of clips is expanded along, and what it then costs.

Feichtenhofer 2020, "X3D: Expanding Architectures for Efficient Video Recognition", arXiv
2004.04730, section 3.1. A design is {"backbone": its complete section, "frames": of a clip,
"every": steps from one of them to the next, "resolution": pixels of a frame's side}. The paper's
settings from X2D to X3D-L are those that `within` picks: the last one that is no more than twice as
complex (tests/engine/measure/test_clip_expansion.py).
"""

from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any

import torch

from engine.core.build import build
from engine.measure.complexity import measure
from engine.measure.expansion import Axis
from models.blocks.design.x3d import GROWN, x3d_multiply_adds

__all__ = ["clip_axes", "multiply_adds"]

Design = dict[str, Any]


def multiply_adds(design: Design, classes: int = 0) -> int:
    """Of the network at one clip, with a linear layer of so many classes."""
    section, frames, side = design["backbone"], design["frames"], design["resolution"]
    if section["name"] == "x3d":
        # a network is not built for each of hundreds of steps
        return x3d_multiply_adds(section, frames, side, classes)
    with torch.device("meta"):
        backbone = build("backbones", section)
    counted = measure(backbone, (3, frames, side, side))["flops"]
    return counted + classes * backbone.channels[-1]


def fast(design: Design) -> Iterator[Design]:
    """More frames of a clip that lasts as long: a higher frame rate."""
    lasts = design["frames"] * design["every"]
    for frames in range(design["frames"] + 1, lasts + 1):
        yield design | {"frames": frames, "every": round(lasts / frames)}


def temporal(design: Design) -> Iterator[Design]:
    """More frames at the same rate: a longer clip."""
    return (design | {"frames": frames} for frames in count(design["frames"] + 1))


def spatial(design: Design, most: int | None = None) -> Iterator[Design]:
    """Two pixels more at a time, to `most`."""
    for side in count(design["resolution"] + 2, 2):
        if most and side > most:
            return
        yield design | {"resolution": side}


def _along(key: str, design: Design) -> Iterator[Design]:
    """A factor of the network's own that grows."""
    return (design | {"backbone": section} for section in GROWN[key](design["backbone"]))


def clip_axes(network: str, most: int | None = None) -> dict[str, Axis]:
    """Axes by name of a kind of backbone: those of time and space, and the factors of an X3D.

    most: pixels that the videos have.
    """
    axes: dict[str, Axis] = {
        "fast": fast,
        "temporal": temporal,
        "spatial": partial(spatial, most=most),
    }
    if network == "x3d":
        axes |= {key: partial(_along, key) for key in ("depth", "width", "bottleneck")}
    return axes
