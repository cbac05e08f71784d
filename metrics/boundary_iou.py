"""Boundary IoU of maps of classes: their pixels near to another class, or to the border, alone.

Cheng, Girshick, Dollar, Berg, Kirillov 2021, "Boundary IoU: Improving Object-Centric Image
Segmentation Evaluation", equation 2, of the mask of each class; pixels of all images are summed up
before they are divided, as of a mean IoU. What is unknown in the truth, 255, is so in both maps:
no class has it, and it ends the classes beside it as the border of the image does.

On files: python -m metrics.boundary_iou PREDICTIONS TARGETS, two folders of PNGs
"""

from metrics.blocks.bootstrap import RESAMPLES
from metrics.blocks.maps import OverMaps
from metrics.blocks.masks.boundary import RATIO
from metrics.blocks.picture import Bars
from metrics.blocks.ranges import Resamples, Share

__all__ = ["BoundaryIoU"]

SHOWN = 40  # bars of a picture


class BoundaryIoU(OverMaps):
    """Mean over classes of the intersection over union of boundary regions, in percent.

    ratio: Of the image's diagonal, how far a boundary region reaches into a class.
    resamples: Of the bootstrap over images that gives the interval; 0: no interval.
    """

    headline = "boundary_iou"

    def __init__(self, ratio: Share = RATIO, resamples: Resamples = RESAMPLES) -> None:
        super().__init__(resamples)
        self._ratio = ratio

    def compute(self) -> dict[str, float]:
        """{"boundary_iou", "boundary_iou_low", "boundary_iou_high"} in percent, "classes" that
        count, and "samples".
        """
        counts = {"classes": len(self._classes().label), "samples": len(self._images)}
        return self._headline() | counts

    def picture(self) -> Bars:
        """The IoU of each class, of more than 40 of the best and of the worst."""
        rows = sorted(self.rows(), key=lambda row: -row["iou"])
        half = SHOWN // 2
        shown = rows if len(rows) <= SHOWN else [*rows[:half], *rows[-half:]]
        labels, values = [row["class"] for row in shown], [row["iou"] for row in shown]
        return Bars("boundary IoU by class", "boundary IoU, %", labels, values)


if __name__ == "__main__":
    from metrics.cli.command import main

    main(BoundaryIoU)
