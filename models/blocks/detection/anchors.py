"""Anchors: boxes of a few sizes and shapes about each place of each level of a pyramid.

Ren, He, Girshick, Sun 2015, "Faster R-CNN", arXiv 1506.01497, section 3.1.1; sizes between octaves:
Lin et al. 2017, arXiv 1708.02002, section 4.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Anchors", "Rounding"]

Rounding = Literal["exact", "torchvision"]
Sides = tuple[int, int]  # height and width


class Anchors:
    """Anchors of every level, alike but for their size, which grows with the stride.

    strides: px of the canvas to a place of each level.
    size: side of the smallest square anchor, in strides: 4 is 32 px at a stride of 8.
    scales: sizes per octave, each 2 ** (1 / scales) times the one before.
    ratios: height over width.
    rounding: `exact` sides, sizes first (the papers, detectron2), or those of `torchvision`: sizes
        and corners in whole px, ratios first, a level's stride the whole px of the canvas per
        place. Weights made with the one do not fit the other.
    """

    def __init__(
        self,
        strides: Sequence[int],
        size: float,
        scales: int = 1,
        ratios: Sequence[float] = (0.5, 1.0, 2.0),
        rounding: Rounding = "exact",
    ) -> None:
        self.strides, self.size, self.scales = tuple(strides), size, scales
        self.ratios, self.rounding = tuple(ratios), rounding

    @property
    def count(self) -> int:
        """Anchors of each place."""
        return self.scales * len(self.ratios)

    def __call__(self, levels: Sequence[Tensor], canvas: Sides) -> list[Tensor]:
        """Anchors float32 (h * w * count, 4) of each level (n, c, h, w), by row, column, shape.

        x1, y1, x2, y2 in px of the canvas, whose borders they may cross. They are kept for the next
        call: not to be written to.
        """
        sides = tuple((int(level.shape[2]), int(level.shape[3])) for level in levels)
        assert len(sides) == len(self.strides), "a map for each stride"
        make = _anchors if not torch.compiler.is_compiling() else _anchors.__wrapped__
        shapes = (self.size, self.scales, self.ratios, self.rounding)
        return list(make(self.strides, shapes, sides, tuple(canvas), levels[0].device))


@lru_cache(maxsize=16)
def _anchors(
    strides: tuple[int, ...], shapes: tuple, sides: tuple[Sides, ...], canvas: Sides, device: object
) -> tuple[Tensor, ...]:
    rounding = shapes[-1]
    found = []
    # what is made within inference_mode could take part in no training later
    with torch.inference_mode(False):
        for stride, (height, width) in zip(strides, sides, strict=True):
            steps = (stride, stride)
            if rounding == "torchvision":
                steps = (canvas[0] // height, canvas[1] // width)
            about = _shapes(stride, *shapes)
            y = torch.arange(height, dtype=torch.float32, device="cpu") * steps[0]
            x = torch.arange(width, dtype=torch.float32, device="cpu") * steps[1]
            y, x = torch.meshgrid(y, x, indexing="ij")
            centres = torch.stack((x, y, x, y), 2)
            found.append((centres[:, :, None] + about).view(-1, 4).to(device))
    return tuple(found)


def _shapes(
    stride: int, size: float, scales: int, ratios: tuple[float, ...], rounding: Rounding
) -> Tensor:
    """Anchors (count, 4) about a place at 0, 0."""
    sizes = [stride * size * 2 ** (step / scales) for step in range(scales)]
    if rounding == "torchvision":
        sizes = [int(each) for each in sizes]
        pairs = [(each, ratio) for ratio in ratios for each in sizes]
    else:
        pairs = [(each, ratio) for each in sizes for ratio in ratios]
    side, ratio = torch.tensor(pairs, dtype=torch.float32, device="cpu").unbind(1)
    root = ratio.sqrt()
    if rounding == "torchvision":
        # its own order of operations: which .5 is rounded up hangs on the last bit
        width, height = 1 / root * side, root * side
        return (torch.stack((-width, -height, width, height), 1) / 2).round()
    width, height = side / root, side * root
    return torch.stack((-width, -height, width, height), 1) / 2
