"""Rows of what a backbone costs, for flows/tools/complexity.py."""

from typing import Any

import torch

from engine.core.build import build, located, options
from engine.measure.complexity import by_shape, summed
from models.blocks.ranges import Count, Pixels

FRAMES = 8  # of a clip, as in models/views/clips.py
UNITS = {"layers": "layers", "params": "parameters", "flops": "flops", "acts": "activations"}


def _sizes(resolution: Pixels, classes: Count, frames: Count | None) -> None:
    """What options of the command may be."""


def counted(
    section: dict[str, Any], resolution: int, rule: str, classes: int, frames: int | None = None
) -> list[dict[str, Any]]:
    """Rows of `by_shape` of a backbone's section with a linear head; ValueError for a wrong one.

    frames: of a clip, for a backbone that reads such; None: FRAMES.
    """
    given = {"resolution": resolution, "classes": classes, "frames": frames}
    options(_sizes, given, "complexity")
    with torch.device("meta"):
        backbone = build("backbones", section, where="backbone")
        head = build("heads", {"name": "linear"}, channels=backbone.channels, classes=classes)
    shape = (3, resolution, resolution)
    if getattr(backbone, "reads", "image") == "clip":
        shape = (3, frames or FRAMES, resolution, resolution)
    elif frames is not None:
        raise ValueError(f"frames: {section['name']} reads images: leave it out")
    with located(f"backbone {section['name']} at {' x '.join(map(str, shape[1:]))}"):
        return by_shape(backbone, head, shape, rule)


def table(rows: list[dict[str, Any]], rule: str, stages: bool) -> str:
    """The rows and their sum as lines of text; without `stages` the sum alone."""
    keys, total = [key for key in UNITS if key in rows[0]], summed(rows)
    lines = [["output", *map(UNITS.get, keys)]]
    for row in rows if stages else []:
        shape = " x ".join(map(str, row["shape"])) or "head"
        lines.append([shape, *(f"{row[key]:,}" for key in keys)])
    lines.append([f"all, {rule}", *(f"{total[key]:,}" for key in keys)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(_line(line, widths) for line in lines)


def _line(cells: list[str], widths: list[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])
