"""What objectives of annotated objects share: their boxes, and which of them count."""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from models.blocks.methods.scenes import Scenes

__all__ = ["OBJECTS", "Objects"]

# columns of a set of boxes, beside the image
OBJECTS: dict[str, dict[str, Any]] = {
    "boxes": {},
    "box_label": {},
    "box_crowd": {},
    "box_ignore": {},
    "box_area": {},
    "negative": {},
    "not_exhaustive": {},
    "sides": {},
}


class Objects(Scenes):
    """Scenes of boxes; **options are the settings of Scenes.

    federated: whether a class is only known to be absent from an image where the data set says so
        (LVIS); else all objects of all classes are annotated.
    """

    target: ClassVar[str] = "box_label"

    def __init__(
        self, backbone: nn.Module, head: nn.Module, federated: bool = False, **options: Any
    ) -> None:
        super().__init__(backbone, head, **options)
        self.federated = federated

    def scene(self, view: dict[str, Any], row: int) -> dict[str, Any]:
        """The objects of a row; crowds and difficult ones are to be ignored."""
        labels = view["box_label"][row]
        found = {"boxes": view["boxes"][row], "labels": labels}
        found["ignore"] = view["box_crowd"][row] | view["box_ignore"][row]
        if self.federated:
            given = view["negative"][row], view["not_exhaustive"][row]
            found["unjudged"] = unjudged(labels, *given, self.head.classes)
        return found


def unjudged(labels: Tensor, negative: Tensor, partial: Tensor, classes: int) -> Tensor:
    """bool (classes,): of which classes what is found in an image is neither right nor wrong."""
    judged = torch.zeros(classes, dtype=torch.bool, device=labels.device)
    judged[labels] = True
    judged[negative] = True
    judged[partial] = False
    return ~judged
