"""Average precision of many classes of which each image was annotated for some: LVIS.

Gupta, Dollar, Girshick 2019, "LVIS: A Dataset for Large Vocabulary Instance Segmentation", section
2.3; the rule is lvis-dataset/lvis-api's eval.py, to the letter. A class counts in images where it
is annotated or verified absent (`negative`); where not all of its objects are annotated
(`not_exhaustive`), a detection that finds none is no error. 300 detections of an image count,
whatever their classes. Rare, common and frequent classes: 1 to 10, 11 to 100, more images of
training. Without `negative` all classes are annotated in all images.

On files: python -m metrics.lvis_ap results.json lvis.json
"""

from typing import Literal

from metrics.blocks.detection.average import RESAMPLES
from metrics.blocks.detection.federated import FederatedPrecision
from metrics.blocks.ranges import Count, Resamples

__all__ = ["LvisAP"]


class LvisAP(FederatedPrecision):
    """Mean over classes and overlaps of the average precision, in percent.

    of: What is compared.
    per_image: So many detections of an image count, the best of all classes.
    resamples: Of the bootstrap over images that gives the interval; 0: no interval.
    """

    def __init__(
        self,
        of: Literal["boxes", "masks"] = "boxes",
        per_image: Count = 300,
        resamples: Resamples = RESAMPLES,
    ) -> None:
        super().__init__(of, resamples, per_image=per_image)


if __name__ == "__main__":
    from metrics.cli.command import main

    main(LvisAP)
