"""Mask R-CNN: Faster R-CNN, and a mask of each object.

He, Gkioxari, Dollar, Girshick 2017, "Mask R-CNN", arXiv 1703.06870, section 3. From scratch, with
group norm: He, Girshick, Dollar 2019, "Rethinking ImageNet Pre-training", arXiv 1811.08883.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from models.blocks.detection.maskbranch import MaskBranch
from models.blocks.detection.twostage import TwoStage
from models.blocks.ranges import Count, Depth

__all__ = ["MaskRCNN"]


class MaskRCNN(TwoStage):
    """Maps of a backbone -> boxes with classes and scores, and a mask of each.

    mask_convs: 3x3 of the mask branch.
    mask_bins: parts to a side that a region is pooled in for its mask, which has twice as many.
    """

    gives: ClassVar[tuple[str, ...]] = ("boxes", "masks")

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        classes: int,
        mask_convs: Depth = 4,
        mask_bins: Count = 14,
        **options: Any,
    ) -> None:
        super().__init__(channels, strides, classes, **options)
        align = self.region_align(mask_bins)
        self.mask = MaskBranch(align, self.width, classes, mask_convs, self.norm)
