"""PointRend: Mask R-CNN's boxes, and masks that are made fine point by point.

Kirillov, Wu, He, Girshick 2020, "PointRend: Image Segmentation as Rendering", arXiv 1912.08193,
section 4. The masks: models/blocks/detection/pointbranch.py.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from models.blocks.detection.coarsemask import CoarseMask
from models.blocks.detection.pointbranch import PointBranch
from models.blocks.detection.pointhead import PointHead
from models.blocks.detection.points import Sampling
from models.blocks.detection.scene import Scene
from models.blocks.detection.twostage import TwoStage
from models.blocks.ranges import Count, Depth, Doublings, Pixels, Share, Times, Whole, Width

__all__ = ["PointRend"]


class PointRend(TwoStage):
    """Maps of a backbone -> boxes, classes and masks of 2^steps times `coarse_side`.

    coarse_side: of the coarse mask of a region.
    coarse_hidden: numbers of a region between the layers that predict it.
    points: of each region that the loss of points is of.
    oversample: times as many are drawn, of which the most uncertain are taken.
    importance: share of the points that are taken for their uncertainty; the others are uniform.
    steps: how often a mask is doubled in a test: 5 from 7 to 224.
    test_points: of each region and step that are predicted in a test, the most uncertain ones;
        where they are all points of a mask, it begins there.
    refined: whether masks are learnt in the boxes that the box branch makes of the regions, as the
        released code has it, or in the regions themselves.
    point_hidden: channels of the point head's layers.
    point_layers: hidden layers of the point head.
    again: whether each of them is given the coarse prediction again.
    """

    gives: ClassVar[tuple[str, ...]] = ("boxes", "masks")

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        classes: int,
        coarse_side: Pixels = 7,
        coarse_hidden: Width = 1024,
        points: Count = 196,
        oversample: Times = 3.0,
        importance: Share = 0.75,
        steps: Doublings = 5,
        test_points: Whole = 784,
        refined: bool = True,
        point_hidden: Width = 256,
        point_layers: Depth = 3,
        again: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(channels, strides, classes, **options)
        width, stride = self.width, self.pyramid.strides[0]
        coarse = CoarseMask(width, stride, classes, coarse_side, coarse_hidden)
        head = PointHead(width, classes, point_hidden, point_layers, again)
        sampling = Sampling(points, oversample, importance)
        self.mask = PointBranch(coarse, head, sampling, steps, test_points, refined)

    def told(self, scenes: Sequence[Scene]) -> dict[str, Any]:
        return super().told(scenes) | {"seeds": [scene.seed for scene in scenes]}
