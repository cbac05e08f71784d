"""What objectives of panoptic maps share: a class for each pixel, and things one by one."""

from typing import Any, ClassVar

import torch

from models.blocks.detection.targets import instances_of, semantic_of
from models.blocks.methods.scenes import Scenes

__all__ = ["SEGMENTS", "Segments"]

# columns of a set of panoptic maps, beside the image. Not areas: of a map that was stored smaller
# they are not the numbers of its pixels, and IoUs came out above 1
SEGMENTS: dict[str, dict[str, Any]] = {
    "panoptic": {},
    "panoptic_label": {},
    "panoptic_crowd": {},
    "panoptic_thing": {},
    "sides": {},
}


class Segments(Scenes):
    """Scenes of panoptic maps."""

    reads: ClassVar[dict[str, dict]] = {"image": {}, **SEGMENTS}
    target: ClassVar[str] = "panoptic_label"

    def scene(self, view: dict[str, Any], row: int) -> dict[str, Any]:
        """The class of each pixel of a row, 255 where it is of no segment."""
        return {"semantic": semantic_of(view["panoptic"][row], view["panoptic_label"][row])}

    def things(self, view: dict[str, Any], row: int) -> dict[str, Any]:
        """Boxes, labels and masks of the countable segments of a row; crowds are to be ignored."""
        names = ("panoptic", "panoptic_label", "panoptic_thing", "panoptic_crowd")
        boxes, labels, masks, crowd = instances_of(*(view[name][row] for name in names))
        return {"boxes": boxes, "labels": labels, "masks": masks, "ignore": crowd}

    def maps(self, view: dict[str, Any]) -> list[torch.Tensor]:
        """int64 (h, w) of each image as it is stored: the class of each pixel."""
        pairs = zip(view["panoptic"], view["panoptic_label"], strict=True)
        return [semantic_of(panoptic, labels) for panoptic, labels in pairs]
