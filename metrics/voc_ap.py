"""Average precision of PASCAL VOC: boxes found at an overlap of one half.

Everingham, Van Gool, Williams, Winn, Zisserman 2010, "The Pascal Visual Object Classes (VOC)
Challenge", section 4.2, to the letter of VOCdevkit's VOCevaldet.m: x2 and y2 are the last pixel of
a box, so that its width is x2 - x1 + 1; a detection belongs to the true box that it overlaps most,
whether that is taken or not; of equal scores the first comes first, of images in the order seen.
Objects that are `difficult` (column box_ignore) count neither as found nor as missed. A class
without an object to be found has no average precision: it is left out, and counted.

On files: python -m metrics.voc_ap RESULTS VOC2007
"""

from typing import ClassVar, Literal

import numpy as np
from numpy import ndarray

from metrics.blocks.events.boxes import VocCurves
from metrics.blocks.events.curve import Curve
from metrics.blocks.events.meancurves import CURVE_RESAMPLES
from metrics.blocks.metric import Reads
from metrics.blocks.ranges import Resamples, Share

__all__ = ["VocAP"]


class VocAP(VocCurves):
    """Mean over classes of the average precision of boxes, in percent.

    definition: `area` below interpolated precision over recall, as from 2010 on, or `voc2007`, the
    mean of the precision at eleven recalls.
    iou: Intersection over union from which on a box is found.
    resamples: Of the bootstrap over images that gives the interval; 0: no interval.
    """

    headline = "voc_ap"
    reads = Reads(
        ("boxes", "box_label", "box_score"), ("boxes", "box_label"), ("box_ignore", "group")
    )
    files: ClassVar[str] = "voc"
    more = 1.0

    def __init__(
        self,
        definition: Literal["area", "voc2007"] = "area",
        iou: Share = 0.5,
        resamples: Resamples = CURVE_RESAMPLES,
    ) -> None:
        super().__init__(resamples)
        self.definition, self.iou = definition, iou

    def merge(self, other: "VocAP") -> None:
        """Add the images that another one has seen, after the own."""
        same = (self.definition, self.iou) == (other.definition, other.iou)
        assert same, "metrics of two definitions do not add up"
        super().merge(other)

    def _order(self, scores: ndarray) -> ndarray:
        return np.argsort(-scores, kind="stable")

    def _average(self, curve: Curve, weights: ndarray) -> ndarray:
        return curve.area(weights) if self.definition == "area" else curve.eleven(weights)


if __name__ == "__main__":
    from metrics.cli.command import main

    main(VocAP)
