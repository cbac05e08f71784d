"""Average precision of large vocabularies, of which each image was annotated for some classes only.

Gupta, Dollar, Girshick 2019, "LVIS: A Dataset for Large Vocabulary Instance Segmentation", section
2.3. What counts of the detections is a metric's own: of an image (lvis_ap), of a class (ap_fixed),
or of a class and in one ranking (ap_pool).
"""

from typing import Any

from metrics.blocks.detection.average import AveragePrecision
from metrics.blocks.detection.evaluation import Rule
from metrics.blocks.detection.seen import MORE
from metrics.blocks.detection.shapes import SHAPES


class FederatedPrecision(AveragePrecision):
    """As `AveragePrecision`, where it is told which classes an image has none of.

    of: "boxes" or "masks". rule: what else differs of evaluation.py's Rule.
    """

    reads = AveragePrecision.reads._replace(more=MORE)

    def __init__(self, of: str, resamples: int, **rule: Any) -> None:
        whole = Rule(federated=True, caps=(None,), **rule)
        super().__init__(SHAPES[of](), whole, resamples)
