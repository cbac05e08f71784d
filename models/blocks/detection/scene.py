"""What heads of detection and segmentation are given of an image, and what they find in it.

All places are x, y in px of the canvas: the image, resized, in the upper left corner of a tensor
that all images of a batch share, zeros (the mean colour) below it and beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

__all__ = ["GIVES", "UNKNOWN", "Found", "Scene", "SceneHead", "sampled"]

UNKNOWN = 255  # in a semantic map: the class of a pixel is not known
GIVES = ("boxes", "masks", "semantic")  # what a head may find


@dataclass
class Scene:
    """What is known of one image of a batch, whose objects are m.

    content: height and width of the image within the canvas.
    boxes: float32 (m, 4), x1 y1 x2 y2 within the content, none empty.
    labels: int64 (m,), classes from 0 on.
    ignore: bool (m,), crowds and difficult objects, neither to be found nor to be missed.
    masks: bool (m, h, w) of the canvas's sides; None where the objective reads none.
    masks_known: bool (m,), of which objects the mask is known; of the others it is all False.
    semantic: int64 (h, w) of the canvas's sides, the class of each pixel, 255 where unknown, as
        beside the content; None where the objective reads none.
    unjudged: bool (classes,), of which it is not known whether the image shows them (LVIS): what is
        found of them is neither right nor wrong.
    seed: of what is sampled of the image's anchors and regions, the same whichever worker has it.
    """

    content: tuple[int, int]
    boxes: Tensor
    labels: Tensor
    ignore: Tensor
    masks: Tensor | None
    masks_known: Tensor
    semantic: Tensor | None
    unjudged: Tensor
    seed: int


@dataclass
class Found:
    """What a head finds in one image, m objects by falling score, and the classes of its pixels.

    boxes: float32 (m, 4) within the content. labels: int64 (m,). scores: float32 (m,), 0 to 1.
    masks: float32 (m, s, s), how likely each place of a grid over the box is the object's, 0 to 1.
    semantic: float32 (classes, h / stride, w / stride) scores of the canvas, higher is likelier, of
        the head's `semantic_stride`; a class that the head does not tell is -inf everywhere; one
        row more is of no class, as where there are things. `classes_of` of
        models/blocks/detection/semantics.py reads it.
    """

    boxes: Tensor | None = None
    labels: Tensor | None = None
    scores: Tensor | None = None
    masks: Tensor | None = None
    semantic: Tensor | None = None


class SceneHead(nn.Module):
    """Maps of a backbone, a list of (n, channels[i], h / strides[i], w / strides[i]), to what they
    show.

    gives: which of GIVES it finds. exact_in_parts: whether the loss of a batch is the mean over its
    parts, so that micro-batches are allowed.
    """

    gives: ClassVar[tuple[str, ...]] = ("boxes",)
    exact_in_parts: ClassVar[bool] = False

    @property
    def semantic_stride(self) -> int:
        """px of the canvas to a place of the `semantic` that is found."""
        return self.strides[0]

    def losses(self, maps: Sequence[Tensor], scenes: Sequence[Scene]) -> dict[str, Tensor]:
        """{"loss", and its parts by name}: means over the images.

        Every parameter takes part, if with a factor of 0: workers wait for all gradients.
        """
        raise NotImplementedError

    def found(self, maps: Sequence[Tensor], contents: Sequence[tuple[int, int]]) -> list[Found]:
        """What is found in each image; contents: height and width of each within the canvas."""
        raise NotImplementedError

    def pool(self, maps: Sequence[Tensor]) -> Tensor:
        """Features (n, channels[-1]): the mean of the last map."""
        return maps[-1].mean((2, 3))

    def after_step(self) -> None:
        """Updates between steps, as of a moving average."""

    def forward(self, maps: Sequence[Tensor]) -> list[Any]:
        """What is found where the images fill the canvas: what a deployed network costs."""
        height, width = self.canvas(maps)
        return self.found(maps, [(height, width)] * len(maps[0]))

    def canvas(self, maps: Sequence[Tensor]) -> tuple[int, int]:
        """Height and width of the canvas, which is whole steps of the largest stride."""
        height, width = maps[0].shape[2:]
        return height * self.strides[0], width * self.strides[0]


def sampled(seed: int, count: int, most: int, stream: int = 0) -> Tensor:
    """`most` of `count` places at random, int64, in rising order; all where there are no more.

    stream: another draw of the same image, as of anchors and of regions.
    """
    if count <= most:
        return torch.arange(count)
    generator = torch.Generator().manual_seed((seed + 7_919 * stream) % 2**63)
    return torch.randperm(count, generator=generator)[:most].sort().values
