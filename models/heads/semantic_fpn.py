"""Semantic FPN: the class of each pixel, from the maps of a feature pyramid.

Kirillov, Girshick, He, Dollar 2019, "Panoptic Feature Pyramid Networks", arXiv 1901.02446, section
3, "Semantic segmentation branch".
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import Tensor

from models.blocks.detection.pyramid import Norm, Pyramid
from models.blocks.detection.scene import Found, Scene, SceneHead
from models.blocks.detection.semantics import Semantics, pixel_loss
from models.blocks.ranges import Positive, Width

__all__ = ["SemanticFPN"]


class SemanticFPN(SceneHead):
    """Maps of a backbone -> scores of classes (classes, h / strides[0], w / strides[0]).

    The loss is the cross entropy of the canvas's pixels, a mean over those of the whole batch, of
    all workers, whose class is known.

    width: channels of the pyramid.
    norm: after the convolutions of the pyramid; `group` to train from scratch.
    dim: channels of the semantic branch.
    semantic_norm: after its convolutions.
    weight: of the loss, beside those of an objective that has others.
    """

    gives: ClassVar[tuple[str, ...]] = ("semantic",)

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        classes: int,
        width: Width = 256,
        norm: Norm = "none",
        dim: Width = 128,
        semantic_norm: Literal["group", "batch"] = "group",
        weight: Positive = 1.0,
    ) -> None:
        super().__init__()
        self.strides, self.classes, self.weight = list(strides), classes, weight
        self.pyramid = Pyramid(channels, strides, width, norm=norm)
        self.semantics = Semantics(self.pyramid.strides, width, classes, dim, semantic_norm)

    def losses(self, maps: Sequence[Tensor], scenes: Sequence[Scene]) -> dict[str, Tensor]:
        targets = [scene.semantic for scene in scenes]
        loss = self.weight * pixel_loss(self.semantics(self.pyramid(maps)), targets)
        return {"loss": loss, "semantic": loss}

    def found(self, maps: Sequence[Tensor], contents: Sequence[tuple[int, int]]) -> list[Found]:
        scores = self.semantics(self.pyramid(maps)).float()
        return [Found(semantic=each) for each in scores]
