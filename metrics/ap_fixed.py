"""Average precision with as many detections of every class, and no limit per image: AP-fixed.

Dave, Dollar, Ramanan, Kirillov, Girshick 2021, "Evaluating Large-Vocabulary Object Detectors: The
Devil is in the Details", section 3. A limit per image makes classes compete: who scales the scores
of a class gains. Here the best 10,000 detections of each class in all images count, so that
precision depends on the ranking within each class only. Otherwise as lvis_ap; of equal scores at
the limit those of the first images count: achalddave/large-vocab-devil, evaluate_ap_fixed.py.

On files: python -m metrics.ap_fixed results.json lvis.json
"""

from typing import Literal

from metrics.blocks.detection.average import RESAMPLES
from metrics.blocks.detection.federated import FederatedPrecision
from metrics.blocks.ranges import Count, Resamples

__all__ = ["APFixed"]


class APFixed(FederatedPrecision):
    """Mean over classes and overlaps of the average precision, in percent.

    of: What is compared.
    dets_per_class: So many detections of a class count, the best of all images.
    resamples: Of the bootstrap over images that gives the interval; 0: no interval.
    """

    def __init__(
        self,
        of: Literal["boxes", "masks"] = "boxes",
        dets_per_class: Count = 10_000,
        resamples: Resamples = RESAMPLES,
    ) -> None:
        super().__init__(of, resamples, per_class=dets_per_class)


if __name__ == "__main__":
    from metrics.cli.command import main

    main(APFixed)
