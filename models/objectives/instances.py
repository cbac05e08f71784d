"""Instance segmentation: boxes, classes and masks of the objects of each image.

He, Gkioxari, Dollar, Girshick 2017, "Mask R-CNN", arXiv 1703.06870. The loss is the head's.
"""

from typing import Any, ClassVar

from models.blocks.methods.objects import OBJECTS, Objects

__all__ = ["Instances"]


class Instances(Objects):
    """boxes (m, 4), box_label (m,) and masks (m, h, w) of each image.

    Objects whose mask is not known, as `masks_known` (m,) says, teach their box alone.
    """

    reads: ClassVar[dict[str, dict]] = {
        "image": {},
        **OBJECTS,
        "masks": {"unknown": "empty"},
        "masks_known": {},
    }
    needs: ClassVar[tuple[str, ...]] = ("boxes", "masks")

    def scene(self, view: dict[str, Any], row: int) -> dict[str, Any]:
        found = super().scene(view, row)
        return found | {name: view[name][row] for name in ("masks", "masks_known")}

    def targets(self, view: dict[str, Any]) -> dict[str, Any]:
        found = super().targets(view)
        # of each object, where a metric would take it for one of the image
        del found["masks_known"]
        return found
