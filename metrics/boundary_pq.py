"""Panoptic quality of segments whose outlines count: a match is as good as its boundary.

Cheng, Girshick, Dollar, Berg, Kirillov 2021, "Boundary IoU: Improving Object-Centric Image
Segmentation Evaluation", section 6: PQ with the lower of the IoU of segments and that of their
boundary regions. As bowenc0221/boundary-iou-api, boundary_iou/coco_panoptic_api/evaluation.py has
it, but for segments whose id is the number after the last class's, which that code takes for the
inside of others.

On files: python -m metrics.boundary_pq predictions.json targets.json
"""

from metrics.blocks.bootstrap import RESAMPLES
from metrics.blocks.masks.boundary import RATIO
from metrics.blocks.panoptic.quality import Quality
from metrics.blocks.ranges import Resamples, Share

__all__ = ["BoundaryPQ"]


class BoundaryPQ(Quality):
    """Mean over classes of the panoptic quality by boundary regions, in percent.

    ratio: Of the image's diagonal, how far a boundary region reaches into a segment.
    resamples: Of the bootstrap over images that gives the interval; 0: no interval.
    """

    headline = "boundary_pq"

    def __init__(self, ratio: Share = RATIO, resamples: Resamples = RESAMPLES) -> None:
        super().__init__(resamples)
        self._ratio = ratio


if __name__ == "__main__":
    from metrics.cli.command import main

    main(BoundaryPQ)
