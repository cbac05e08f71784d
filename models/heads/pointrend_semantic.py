"""PointRend of a semantic FPN: the class of each pixel, made fine point by point.

Kirillov, Wu, He, Girshick 2020, "PointRend: Image Segmentation as Rendering", arXiv 1912.08193,
section 5: the coarse classes are those of a feature pyramid at a quarter of the canvas's sides
(Kirillov, Girshick, He, Dollar 2019, arXiv 1901.02446), and points are uncertain where the two
likeliest classes are as likely. Numbers and order are those of the released code (detectron2,
projects/PointRend) for Cityscapes: 2,048 points in training, 8,192 of each of two steps in a test.
"""

import math
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from models.blocks.detection.pointhead import PointHead
from models.blocks.detection.points import Sampling, grid, least_margin, point_sample
from models.blocks.detection.pyramid import Norm, Pyramid
from models.blocks.detection.sampling import averaged
from models.blocks.detection.scene import UNKNOWN, Found, Scene, SceneHead
from models.blocks.detection.semantics import Semantics, check_classes, pixel_loss
from models.blocks.detection.subdivision import subdivided
from models.blocks.ranges import Count, Depth, Doublings, Share, Times, Whole, Width

__all__ = ["PointRendSemantic"]


class PointRendSemantic(SceneHead):
    """Maps of a backbone -> the class of each pixel.

    width: channels of the pyramid.
    norm: after the convolutions of the pyramid; `group` to train from scratch.
    dim: channels of the coarse prediction's layers.
    semantic_norm: after their convolutions.
    points: of each image that the loss of points is of.
    oversample: times as many are drawn, of which the most uncertain are taken.
    importance: share of the points that are taken for their uncertainty; the others are uniform.
    steps: how often the coarse prediction is doubled in a test: 2 from a quarter of the sides.
    test_points: of each image and step that are predicted in a test, the most uncertain ones.
    point_hidden: channels of the point head's layers.
    point_layers: hidden layers of the point head.
    again: whether each of them is given the coarse prediction again.
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
        points: Count = 2048,
        oversample: Times = 3.0,
        importance: Share = 0.75,
        steps: Doublings = 2,
        test_points: Whole = 8192,
        point_hidden: Width = 256,
        point_layers: Depth = 3,
        again: bool = False,
    ) -> None:
        super().__init__()
        check_classes(classes)
        self.strides, self.classes = list(strides), classes
        self.pyramid = Pyramid(channels, strides, width, norm=norm)
        self.coarse = Semantics(self.pyramid.strides, width, classes, dim, semantic_norm)
        self.point = PointHead(width, classes, point_hidden, point_layers, again)
        self.sampling = Sampling(points, oversample, importance)
        self.steps, self.test_points = steps, test_points
        if strides[0] % 2**steps:
            raise ValueError(
                f"steps: {steps} make a map of stride {strides[0]} finer than the image: "
                f"{int(math.log2(strides[0] & -strides[0]))} at the most"
            )

    @property
    def semantic_stride(self) -> int:
        return self.strides[0] // 2**self.steps

    def losses(self, maps: Sequence[Tensor], scenes: Sequence[Scene]) -> dict[str, Tensor]:
        """{"semantic", "point"}: cross entropies of all pixels of the enlarged coarse prediction,
        and of points, means over those of all images and workers whose class is known."""
        pyramid = self.pyramid(maps)
        logits = self.coarse(pyramid).float()
        sides = self.canvas(maps)
        parts = {"semantic": pixel_loss(logits, [scene.semantic for scene in scenes])}

        drawn = torch.cat([self.sampling.draw(scene.seed, 1) for scene in scenes])
        # in the image, not in what is beside it
        drawn = drawn.to(logits.device) * _shares([one.content for one in scenes], sides, logits)
        places = self.sampling.choose(logits, least_margin, drawn)
        wanted = torch.stack([scene.semantic for scene in scenes])
        told = point_sample(wanted[:, None].float(), places, "nearest")[:, 0].long()
        found = self._predict(pyramid[0], logits, places)
        total = F.cross_entropy(found, told, ignore_index=UNKNOWN, reduction="sum")
        parts["point"] = averaged(total, (told != UNKNOWN).sum(1).tolist())
        return {"loss": sum(parts.values()), **parts}

    @torch.no_grad()
    def found(self, maps: Sequence[Tensor], contents: Sequence[tuple[int, int]]) -> list[Found]:
        """Logits of 2^steps times the sides of the coarse prediction's."""
        pyramid = self.pyramid(maps)
        coarse = self.coarse(pyramid).float()
        ends = _shares(contents, self.canvas(maps), coarse)

        def unsure(logits: Tensor) -> Tensor:
            """Beside the image nothing is looked at."""
            margin = least_margin(logits)
            inside = (grid(*margin.shape[1:], margin) < ends).all(2)
            return margin.masked_fill(~inside.view_as(margin), -torch.inf)

        def predict(places: Tensor) -> Tensor:
            return self._predict(pyramid[0], coarse, places)

        logits = subdivided(coarse, self.steps, self.test_points, unsure, predict)
        return [Found(semantic=one) for one in logits]

    def _predict(self, fine: Tensor, coarse: Tensor, places: Tensor) -> Tensor:
        """Logits (n, classes, p) of places (n, p, 2)."""
        return self.point(point_sample(fine, places), point_sample(coarse, places)).float()


def _shares(contents: Sequence[tuple[int, int]], sides: tuple[int, int], like: Tensor) -> Tensor:
    """How much of the canvas's width and height each image fills, (n, 1, 2)."""
    shares = [[width / sides[1], height / sides[0]] for height, width in contents]
    return like.new_tensor(shares)[:, None]
