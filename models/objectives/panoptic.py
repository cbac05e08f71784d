"""Panoptic segmentation: each pixel of one thing, or of stuff.

Kirillov, He, Girshick, Rother, Dollar 2019, "Panoptic Segmentation", arXiv 1801.00868; Kirillov,
Girshick, He, Dollar 2019, "Panoptic Feature Pyramid Networks", arXiv 1901.02446. The loss is the
head's; the policy `panoptic` makes one map of its things and its classes of pixels.
"""

from typing import Any, ClassVar

from models.blocks.methods.segments import Segments

__all__ = ["Panoptic"]


class Panoptic(Segments):
    """Things with their masks, and the class of each pixel, of a panoptic map."""

    needs: ClassVar[tuple[str, ...]] = ("boxes", "masks", "semantic")

    def targets(self, view: dict[str, Any]) -> dict[str, Any]:
        """The map and its segments, and which of its classes are countable things."""
        pairs = zip(view["panoptic_label"], view["panoptic_thing"], strict=True)
        things = [labels[thing].unique() for labels, thing in pairs]
        return super().targets(view) | {"panoptic_things": things}

    def scene(self, view: dict[str, Any], row: int) -> dict[str, Any]:
        return super().scene(view, row) | self.things(view, row)
