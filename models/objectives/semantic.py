"""Semantic segmentation: the class of each pixel.

Long, Shelhamer, Darrell 2015, "Fully Convolutional Networks for Semantic Segmentation", arXiv
1411.4038; Kirillov, Girshick, He, Dollar 2019, "Panoptic Feature Pyramid Networks", arXiv
1901.02446, section 3. The loss is the head's.
"""

from typing import Any, ClassVar

from torch import Tensor

from models.blocks.augment.draws import Draws
from models.blocks.methods.segments import Segments

__all__ = ["Semantic"]


class Semantic(Segments):
    """The classes of a panoptic map, of things and stuff alike; what is of no segment is unknown.

    A test compares `semantic` (h, w) of each image.
    """

    needs: ClassVar[tuple[str, ...]] = ("semantic",)

    def test_views(self, batch: dict[str, Any], draws: Draws) -> dict[str, Any]:
        view = super().test_views(batch, draws)
        return view | {"semantic": self.maps(batch)}

    def targets(self, view: dict[str, Any]) -> dict[str, list[Tensor]]:
        return {"semantic": view["semantic"]}
