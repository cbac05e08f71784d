"""Jigsaw puzzles: which of a set of permutations were the tiles of the image shuffled by?

Noroozi, Favaro 2016, "Unsupervised Learning of Visual Representations by Solving Jigsaw Puzzles",
arXiv 1603.09246, sections 3 and 4.2: tiles pass the backbone one by one, so that it cannot read the
answer off their seams, and the head sees their features side by side. As a proxy for labels: Liu et
al. 2020, "Are Labels Necessary for Neural Architecture Search?", arXiv 2003.12056, with all 24
permutations of a grid of 2 for images of 32 pixels.
"""

from functools import cache
from itertools import permutations as orders
from math import factorial
from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from models.blocks.augment.draws import Draws, moved
from models.blocks.methods.pretext import Pretext
from models.blocks.ranges import Part, Positive, Rising, Share

__all__ = ["Jigsaw", "permutation_set"]

GRID, PERMUTATIONS = 2, 24


class Jigsaw(Pretext):
    """image (n, tiles, 3, t, t), label (n,): the row of the permutation in the set.

    grid: tiles per side.
    permutations: how many are told apart.
    tile: its side over that of its cell, within which its place is random.
    grey: share of training images without colour.
    scale, ratio, flip: see Views.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        grid: Annotated[int, Field(ge=2, le=3)] = GRID,
        permutations: Annotated[int, Field(ge=2, le=factorial(9))] = PERMUTATIONS,
        tile: Part = 0.75,
        grey: Share = 0.3,
        scale: Rising[Part] = (0.4, 1.0),
        ratio: Rising[Positive] = (3 / 4, 4 / 3),
        flip: Share = 0.5,
    ) -> None:
        super().__init__(backbone, head, scale, ratio, flip)
        if permutations > factorial(grid**2):
            raise ValueError(
                f"grid={grid}, permutations={permutations}: a grid of 2 has up to 24, "
                "of 3 up to 362880"
            )
        self.grid, self.tile, self.grey = grid, tile, grey
        self.permutations = permutation_set(grid**2, permutations)  # on the host, where draws are

    @staticmethod
    def facts(
        facts: dict[str, Any], grid: int = GRID, permutations: int = PERMUTATIONS, **options: Any
    ) -> dict[str, Any]:
        """The features of all tiles, and a class per permutation."""
        channels = [grid**2 * facts["channels"][-1]]
        return facts | {"channels": channels, "classes": permutations}

    def views(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """Puzzles of random training views, some of them grey.

        So that tiles are not matched by their colours alone.
        """
        images = self.augment(batch["image"], draws)
        # tiles are normalised, so that any weights of the three channels do for grey
        grey = moved(draws.rand(len(images), 1, 1, 1) < self.grey, images.device)
        return self.puzzles(torch.where(grey, images.mean(1, keepdim=True), images), draws)

    def puzzles(self, images: Tensor, draws: Draws) -> dict[str, Tensor]:
        """Tiles in the order of a permutation, each from a random place in its cell."""
        drawn = draws.rand(len(images), 1 + 2 * self.grid**2)
        targets = (drawn[:, 0] * len(self.permutations)).long()
        tiles = self.cut(images, self.permutations[targets], drawn[:, 1:].unflatten(1, (-1, 2)))
        return {"image": tiles, "label": moved(targets, images.device)}

    def plain(self, images: Tensor) -> Tensor:
        """The tiles in their own order, from the middles of their cells."""
        cells = torch.arange(self.grid**2).expand(len(images), -1)
        return self.cut(self.augment.plain(images), cells, torch.full((*cells.shape, 2), 0.5))

    def cut(self, images: Tensor, cells: Tensor, places: Tensor) -> Tensor:
        """Tiles (n, tiles, 3, t, t) of these cells (n, tiles), each normalised.

        places: (n, tiles, 2) of 0 to 1, each tile's within its cell.
        """
        corners, pixels = [], [side // self.grid for side in images.shape[2:]]
        for cell, side, place in zip(
            (cells // self.grid, cells % self.grid), pixels, places.unbind(2), strict=True
        ):
            t = max(1, round(self.tile * side))
            offsets = cell * side + (place * (side - t + 1)).long()
            corners.append(moved(offsets[..., None] + torch.arange(t), images.device))
        image = torch.arange(len(images), device=images.device)[:, None, None, None]
        tiles = images.permute(0, 2, 3, 1)[
            image, corners[0][..., :, None], corners[1][..., None, :]
        ]
        return F.layer_norm(tiles, tiles.shape[2:]).permute(0, 1, 4, 2, 3)

    def features(self, inputs: Tensor) -> Tensor:
        """Pooled features of an image's tiles side by side (n, tiles * channels[-1])."""
        tiles = inputs.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return super().features(tiles).unflatten(0, (-1, self.grid**2)).flatten(1)

    def logits(self, inputs: Tensor) -> Tensor:
        """Logits (n, permutations)."""
        return self.head.classify(self.features(inputs))


@cache
def permutation_set(tiles: int, count: int, seed: int = 0) -> Tensor:
    """Permutations (count, tiles), each of largest mean Hamming distance to those before.

    Algorithm 1 of the paper.
    """
    every = np.array(list(orders(range(tiles))), np.int8).T.copy()
    # places in which a permutation agrees with those chosen, added up
    alike = np.zeros(every.shape[1], np.int32)
    pick, chosen = np.random.default_rng(seed).integers(len(alike)), []
    for _ in range(count):
        chosen.append(pick)
        alike[pick] = np.iinfo(np.int32).max // 2  # never again
        for place in every:
            alike += place == place[pick]
        pick = alike.argmin()
    return torch.from_numpy(every[:, chosen].T.astype(np.int64))
