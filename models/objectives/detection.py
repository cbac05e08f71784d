"""Object detection: boxes of the objects of each image, and their classes.

Lin, Goyal, Girshick, He, Dollar 2017, "Focal Loss for Dense Object Detection", arXiv 1708.02002;
Ren, He, Girshick, Sun 2015, "Faster R-CNN", arXiv 1506.01497. The loss is the head's.

LVIS: Gupta, Dollar, Girshick 2019, arXiv 1908.03195, section 3: of a class that nobody looked for
in an image nothing there is wrong.
"""

from typing import ClassVar

from models.blocks.methods.objects import OBJECTS, Objects

__all__ = ["Detection"]


class Detection(Objects):
    """boxes (m, 4) and box_label (m,) of each image."""

    reads: ClassVar[dict[str, dict]] = {"image": {}, **OBJECTS}
