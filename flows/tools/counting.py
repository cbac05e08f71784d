"""Rows of what a backbone costs, for flows/tools/complexity.py."""

from typing import Any

import torch
from torch import nn

from engine.core.build import build, located, options, plugin
from engine.core.network import OF_BACKBONE, built
from engine.measure.complexity import by_shape, summed
from models.blocks.detection.scene import SceneHead
from models.blocks.ranges import Count, Pixels

LINEAR = {"name": "linear"}
FRAMES = 8  # of a clip, as in models/views/clips.py
UNITS = {"layers": "layers", "params": "parameters", "flops": "flops", "acts": "activations"}


def _sizes(resolution: Pixels, classes: Count, frames: Count | None) -> None:
    """What options of the command may be."""


def counted(
    section: dict[str, Any],
    resolution: int,
    rule: str,
    classes: int,
    frames: int | None = None,
    head: dict[str, Any] = LINEAR,
) -> list[dict[str, Any]]:
    """Rows of `by_shape` of a backbone's section with a head; ValueError for a wrong one.

    frames: of a clip, for a backbone that reads such; None: FRAMES. head: its section. One that
    finds objects is run on noise, as new weights of a fixed seed see it.
    """
    given = {"resolution": resolution, "classes": classes, "frames": frames}
    options(_sizes, given, "complexity")
    backbone, head = _parts(section, head, classes)
    shape = (3, resolution, resolution)
    if getattr(backbone, "reads", "image") == "clip":
        shape = (3, frames or FRAMES, resolution, resolution)
    elif frames is not None:
        raise ValueError(f"frames: {section['name']} reads images: leave it out")
    with located(f"backbone {section['name']} at {' x '.join(map(str, shape[1:]))}"):
        return by_shape(backbone, head, shape, rule)


def _parts(
    section: dict[str, Any], head: dict[str, Any], classes: int
) -> tuple[nn.Module, nn.Module]:
    """A backbone and its head, without weights where they need not be run."""
    runs = "name" in head and issubclass(plugin("heads", head["name"], "head"), SceneHead)
    facts: dict[str, Any] = {"classes": classes, "names": [str(one) for one in range(classes)]}
    with torch.random.fork_rng(), torch.device("cpu" if runs else "meta"):
        torch.manual_seed(0)
        backbone = build("backbones", section, where="backbone")
        known = {key: getattr(backbone, key, None) for key in OF_BACKBONE}
        facts |= {key: value for key, value in known.items() if value is not None}
        return backbone.eval(), built("heads", head, "head", facts).eval()


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
