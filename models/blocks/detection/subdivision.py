"""A fine prediction out of a coarse one, computed where it is uncertain.

Kirillov, Wu, He, Girshick 2020, "PointRend", arXiv 1912.08193, section 3.1, figure 4: as adaptive
subdivision renders an image, each step doubles a map by bilinear interpolation and predicts anew
the N points of it that are least certain. As the released code has it (detectron2,
projects/PointRend).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from models.blocks.detection.points import Uncertainty, grid, most_uncertain

__all__ = ["begun", "start_of", "subdivided"]

Predict = Callable[[Tensor], Tensor]  # places (n, p, 2) -> logits (n, c, p)


def start_of(side: int, steps: int, points: int) -> tuple[int, int]:
    """Side and steps to begin with, where a step would predict all points of its map anyway.

    A step from a side to its double is left out as long as 4 * side^2 is at most the points.
    """
    while steps and 4 * side**2 <= points:
        side, steps = 2 * side, steps - 1
    return side, steps


def begun(maps: int, side: int, like: Tensor, predict: Predict) -> Tensor:
    """Logits (maps, c, side, side), all of them predicted; places of the kind of `like`."""
    everywhere = grid(side, side, like).expand(maps, -1, -1)
    return predict(everywhere).unflatten(2, (side, side))


@torch.no_grad()
def subdivided(
    logits: Tensor, steps: int, points: int, uncertainty: Uncertainty, predict: Predict
) -> Tensor:
    """Logits (n, c, h, w) -> (n, c, 2^steps * h, 2^steps * w).

    points: how many of each map and step are predicted; all where there are no more, and of 0 the
    result is that of interpolation.
    """
    for _ in range(steps):
        logits = F.interpolate(logits, scale_factor=2, mode="bilinear", align_corners=False)
        if not points:
            continue
        cells, places = most_uncertain(uncertainty(logits), points)
        there = cells[:, None].expand(-1, logits.shape[1], -1)
        found = predict(places).to(logits.dtype)
        logits = logits.flatten(2).scatter(2, there, found).view_as(logits)
    return logits
