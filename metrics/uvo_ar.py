"""Average recall of objects whatever their class: how much of an open world is found.

Wang, Feiszli, Wang, Tran 2021, "Unidentified Video Objects: A Benchmark for Dense, Open-World
Segmentation", section 4: COCO's rule with all objects of one class, as cocoeval.py's useCats=0 has
it, and the recall of 100 detections per image as the headline. As there, classes tell no more than
which of an image's detections of equal score counts as the higher one: that of the first class.

On files: python -m metrics.uvo_ar results.json instances.json
"""

from typing import Literal

from metrics.blocks.detection.average import RESAMPLES, AveragePrecision
from metrics.blocks.detection.evaluation import Rule
from metrics.blocks.detection.shapes import SHAPES
from metrics.blocks.ranges import Resamples

__all__ = ["UvoAR"]


class UvoAR(AveragePrecision):
    """Recall of 100 detections per image, the mean over overlaps, in percent, without classes.

    of: What is compared.
    resamples: Of the bootstrap over images that gives the interval; 0: no interval.
    """

    headline = "ar100"

    def __init__(
        self, of: Literal["boxes", "masks"] = "boxes", resamples: Resamples = RESAMPLES
    ) -> None:
        super().__init__(SHAPES[of](), Rule(classless=True), resamples)


if __name__ == "__main__":
    from metrics.cli.command import main

    main(UvoAR)
