"""Average precision of masks whose outlines count: a match is as good as its boundary.

Cheng, Girshick, Dollar, Berg, Kirillov 2021, "Boundary IoU: Improving Object-Centric Image
Segmentation Evaluation", section 6: COCO's average precision with the lower of the IoU of masks and
that of their boundary regions. As bowenc0221/boundary-iou-api has it.

On files: python -m metrics.boundary_ap results.json instances.json
"""

from metrics.blocks.detection.average import RESAMPLES, AveragePrecision
from metrics.blocks.detection.evaluation import THRESHOLDS, Rule
from metrics.blocks.masks.boundary import RATIO
from metrics.blocks.masks.outlines import Outlines
from metrics.blocks.ranges import Resamples, Share

__all__ = ["BoundaryAP"]


class BoundaryAP(AveragePrecision):
    """Mean over classes and overlaps of the average precision by boundary regions, in percent.

    ratio: Of the image's diagonal, how far a boundary region reaches into a mask.
    resamples: Of the bootstrap over images that gives the interval; 0: no interval.
    """

    def __init__(self, ratio: Share = RATIO, resamples: Resamples = RESAMPLES) -> None:
        super().__init__(Outlines(ratio, float(THRESHOLDS.min())), Rule(), resamples)


if __name__ == "__main__":
    from metrics.cli.command import main

    main(BoundaryAP)
