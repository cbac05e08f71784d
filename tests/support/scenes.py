"""Drawn scenes as the columns of a data set, with boxes, masks and panoptic maps, in memory."""

import inspect
from copy import copy
from functools import cache
from io import BytesIO
from operator import itemgetter
from typing import Any

import numpy as np
import torch
from PIL import Image

from corpus.drawn.concepts import SHAPES
from corpus.drawn.segments import STUFF, Drawn, draw_scene
from corpus.sources.users import stream
from engine.core.build import choices, plugin
from engine.core.network import network
from models.blocks.detection.scene import SceneHead
from models.blocks.detection.targets import instances_of
from tests.support.networks import TINY

NAMES = [*SHAPES, *STUFF]
SIDE = 48
# settings of heads that make them small enough for a test
SMALL = {"width": 16, "hidden": 32, "convs": 1, "dim": 16, "groups": 8}
# few regions, of which the papers' hundreds take most of a test's time
SMALL |= {"regions": 48, "anchors": 64, "candidates": 100, "proposals": 64}
SMALL |= {"test_candidates": 100, "test_proposals": 32, "detections": 20}
SMALL |= {"coarse_hidden": 32, "points": 32, "test_points": 64, "steps": 2, "point_hidden": 16}


class Scenes:
    """Scenes of a seed, with `reads` all columns of the kinds boxes and panoptic together."""

    def __init__(self, count: int = 8, seed: int = 0, side: int = SIDE) -> None:
        self.samples = [_columns(seed, row, side) for row in range(count)]
        self.reads: dict[str, dict[str, Any]] = {name: {} for name in self.samples[0]}

    def __len__(self) -> int:
        return len(self.samples)

    def reading(self, columns: dict[str, dict[str, Any]]) -> "Scenes":
        """The same ones, of which these columns are read."""
        found = copy(self)
        found.reads = dict(columns)
        return found

    def read(self, indices: torch.Tensor, draws: Any = None) -> dict[str, Any]:
        rows = [self.samples[row] for row in indices.tolist()]
        return {name: list(map(itemgetter(name), rows)) for name in self.reads}


@cache
def _columns(seed: int, row: int, side: int) -> dict[str, torch.Tensor]:
    drawn: Drawn = draw_scene(stream(seed, row), side)
    pixels = np.asarray(Image.open(BytesIO(drawn.image)).convert("RGB"))
    height, width = drawn.numbers.shape
    labels = torch.tensor([NAMES.index(one.label) for one in drawn.segments], dtype=torch.int64)
    thing = torch.tensor([one.thing for one in drawn.segments], dtype=torch.bool)
    crowd = torch.tensor([one.crowd for one in drawn.segments], dtype=torch.bool)
    numbers = torch.from_numpy(drawn.numbers)
    things = instances_of(numbers, labels, thing, crowd)
    m, none = len(things.labels), torch.zeros(0, dtype=torch.int64)
    return {
        "image": torch.from_numpy(pixels.copy()),
        "boxes": things.boxes,
        "box_label": things.labels,
        "box_crowd": things.crowd,
        "box_ignore": torch.zeros(m, dtype=torch.bool),
        "box_area": things.masks.flatten(1).sum(1).double(),
        "masks": things.masks,
        "masks_known": torch.ones(m, dtype=torch.bool),
        "negative": none,
        "not_exhaustive": none,
        "panoptic": numbers,
        "panoptic_label": labels,
        "panoptic_crowd": crowd,
        "panoptic_thing": thing,
        "panoptic_area": torch.bincount(numbers.flatten(), minlength=len(labels) + 1)[1:].double(),
        "sides": torch.tensor([width, height]),
        "original_sides": torch.tensor([width, height]),
    }


def other(kind: str) -> list[str]:
    """The heads or objectives of samples whose targets have no places."""
    ours = scene_heads() if kind == "heads" else scene_objectives()
    return [name for name in choices(kind) if name not in ours]


def scene_heads() -> list[str]:
    """The heads that find objects or classes of pixels."""
    return [name for name in choices("heads") if issubclass(plugin("heads", name, name), SceneHead)]


def scene_objectives() -> list[str]:
    """The objectives of such heads."""
    found = choices("objectives")
    return [n for n in found if getattr(plugin("objectives", n, n), "scenes", False)]


OF = {("boxes",): "detection", ("boxes", "masks"): "instances", ("semantic",): "semantic"}
OF[("boxes", "masks", "semantic")] = "panoptic"


def objective_of(head: str) -> str:
    """The objective that asks for all that a head finds."""
    return OF[plugin("heads", head, head).gives]


def head_section(name: str) -> dict[str, Any]:
    """A small head."""
    known = inspect.signature(plugin("heads", name, name)).parameters
    section = {key: value for key, value in SMALL.items() if key in known}
    more = {"things": list(SHAPES)} if "things" in known else {}
    return {"name": name} | section | more


def scene_network(
    objective: str, head: str, backbone: dict[str, Any] = TINY, **options: Any
) -> torch.nn.Module:
    """An objective of a small network for drawn scenes."""
    torch.manual_seed(0)
    made = {"name": objective} | options
    return network(backbone, made, head_section(head), classes=len(NAMES), names=NAMES)
