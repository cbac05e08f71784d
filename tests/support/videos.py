"""Random videos as a data set, and a backbone that reads clips, small enough for a test."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from corpus.reading.clips import slots_of
from models.blocks.augment.draws import Draws

FRAMES, CLASSES = 12, 3
CLIPS = {"name": "clips", "frames": 4, "every": 2, "size": 16}
# a plug-in of less than 10,000 parameters that reads clips
TINY_CLIPS = {"name": "x3d", "stem_width": 4, "depths": [1, 1], "depth": 1.0, "head_width": 16}
TINY_CLIPS |= {"stem_stride": 1}


def videos(n: int = 20) -> list[Tensor]:
    """uint8 (12, h, w, 3) of each, of a short side of 16 px and random aspect."""
    drawn = torch.Generator().manual_seed(3)
    sides = [(16, 16 + 3 * (i % 4)) for i in range(n)]
    sides = [side if i % 2 else side[::-1] for i, side in enumerate(sides)]
    return [
        torch.randint(0, 256, (FRAMES, *side, 3), dtype=torch.uint8, generator=drawn)
        for side in sides
    ]


@dataclass
class Videos:
    """Such videos with labels and hashtags, as a data set."""

    reads: Mapping[str, Mapping[str, Any]]
    n: int = 20

    def __post_init__(self) -> None:
        self.pixels = videos(self.n)
        self.label = torch.arange(self.n) % CLASSES
        self.hashtags = torch.eye(CLASSES)[self.label]

    def __len__(self) -> int:
        return self.n

    def reading(self, columns: Mapping[str, Mapping[str, Any]]) -> "Videos":
        found = copy.copy(self)  # with the same pixels
        found.reads = columns
        return found

    def read(self, indices: Tensor, draws: Draws) -> dict[str, Any]:
        return {name: self._column(name, indices, draws) for name in self.reads}

    def _column(self, name: str, indices: Tensor, draws: Draws) -> Any:
        if name != "clip":
            return getattr(self, name)[indices]
        counts = np.full(len(indices), FRAMES)
        slots = torch.from_numpy(slots_of(counts, draws, **self.reads[name]).copy())
        rows = zip(indices.tolist(), slots, strict=True)
        return [self.pixels[row][own] for row, own in rows]


class Normless(nn.Module):
    """A backbone without batch norm, whose statistics depend on what else a worker holds."""

    reads: ClassVar[str] = "clip"

    def __init__(self) -> None:
        super().__init__()
        self.channels, self.strides, self.times = [10], [4], [2]
        self.stem = nn.Sequential(nn.Conv3d(3, 8, 3, (1, 2, 2), 1), nn.GroupNorm(2, 8), nn.GELU())
        self.block = nn.Sequential(nn.Conv3d(8, 10, 3, 2, 1), nn.GELU())

    def layers(self) -> list[nn.Module]:
        return [self.stem, self.block]

    def forward(self, clips: Tensor) -> list[Tensor]:
        return [self.block(self.stem(clips))]


class Normed(Normless):
    """The same with batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem[1] = nn.BatchNorm3d(8)
