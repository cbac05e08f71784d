"""Panoptic quality: segments of every pixel are to be found, whole and of the right class.

Kirillov, He, Girshick, Rother, Dollar 2019, "Panoptic Segmentation", section 4: PQ, the sum of IoUs
of the segments found over all, those made up and missed counted by half, is SQ, the mean IoU of
those found, times RQ, how many are; means over classes, of things and of stuff. Void and crowds
count as in cocodataset/panopticapi, panopticapi/evaluation.py.

On files: python -m metrics.pq predictions.json targets.json
"""

from metrics.blocks.bootstrap import RESAMPLES
from metrics.blocks.panoptic.quality import Quality
from metrics.blocks.ranges import Resamples

__all__ = ["PQ"]


class PQ(Quality):
    """Mean over classes of the panoptic quality, in percent.

    resamples: Of the bootstrap over images that gives the interval; 0: no interval.
    """

    headline = "pq"

    def __init__(self, resamples: Resamples = RESAMPLES) -> None:
        super().__init__(resamples)


if __name__ == "__main__":
    from metrics.cli.command import main

    main(PQ)
