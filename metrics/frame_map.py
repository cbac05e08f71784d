"""Frame mAP of AVA: who does what, in boxes of people at single frames of videos.

Gu, Sun, Ross, Vondrick, Pantofaru, Li, Vijayanarasimhan, Toderici, Ricco, Sukthankar, Schmid, Malik
2018, "AVA: A Video Dataset of Spatio-Temporally Localized Atomic Visual Actions", section 5, to the
letter of ActivityNet's get_ava_performance.py: a box per person and action; x2 and y2 are its
edges; predicted boxes of no area are left out; a box belongs to the true one of its action that it
overlaps most, whether that is taken or not. The order of equal scores is that of numpy's unstable
sort, as there. An action that nobody does has no average precision: it is left out, and counted.

On files, of which a frame's 50 highest boxes count as there: python -m metrics.frame_map A.csv
B.csv
"""

from typing import ClassVar

from numpy import ndarray

from metrics.blocks.events.boxes import VocCurves
from metrics.blocks.events.kept import Rows
from metrics.blocks.events.meancurves import CURVE_RESAMPLES
from metrics.blocks.metric import Reads
from metrics.blocks.ranges import Resamples, Share

__all__ = ["FrameMAP"]


class FrameMAP(VocCurves):
    """Mean over actions of the average precision of people's boxes, in percent.

    iou: Intersection over union from which on a box is found.
    resamples: Of the bootstrap over videos (frames, where the column group is missing) that gives
    the interval; 0: no interval.
    """

    headline = "frame_map"
    reads = Reads(("boxes", "box_label", "box_score"), ("boxes", "box_label"), ("group",))
    files: ClassVar[str] = "ava"
    more = 0.0

    def __init__(self, iou: Share = 0.5, resamples: Resamples = CURVE_RESAMPLES) -> None:
        super().__init__(resamples)
        self.iou = iou

    def merge(self, other: "FrameMAP") -> None:
        """Add the frames that another one has seen, after the own."""
        assert self.iou == other.iou, "metrics of two overlaps do not add up"
        super().merge(other)

    def _usable(self, columns: dict[str, Rows]) -> ndarray:
        boxes = columns["boxes"].values
        return (boxes[:, :2] < boxes[:, 2:]).all(1)

    def _order(self, scores: ndarray) -> ndarray:
        return scores.argsort()[::-1]


if __name__ == "__main__":
    from metrics.cli.command import main

    main(FrameMAP)
