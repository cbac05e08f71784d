"""Mean IoU of maps of classes: pixels found of a class over all that are it or are taken for it.

Everingham, Eslami, Van Gool, Williams, Winn, Zisserman 2015, "The Pascal Visual Object Classes
Challenge: A Retrospective", section 4: pixels of all images are summed up before they are divided.
A class that is neither in the truth nor predicted is left out of the mean; pixels that are unknown
in the truth, 255, do not count, and one that is 255 in the prediction is of no class.

On files: python -m metrics.mean_iou PREDICTIONS TARGETS, two folders of PNGs
"""

import numpy as np

from metrics.blocks.bootstrap import RESAMPLES
from metrics.blocks.maps import OverMaps
from metrics.blocks.picture import Matrix
from metrics.blocks.ranges import Resamples

__all__ = ["MeanIoU"]

SHOWN = 40  # classes of a picture


class MeanIoU(OverMaps):
    """Mean over classes of the intersection over union of their pixels, in percent.

    resamples: Of the bootstrap over images that gives the interval; 0: no interval.
    """

    headline = "miou"

    def __init__(self, resamples: Resamples = RESAMPLES) -> None:
        super().__init__(resamples)

    def compute(self) -> dict[str, float]:
        """{"miou", "miou_low", "miou_high"} and "accuracy", the share of pixels that are right, in
        percent; "macc", its mean over classes of the truth; "classes" that count, and "samples".
        """
        classes = self._classes()
        there = classes.true > 0
        shares = 100 * classes.both[there] / classes.true[there]
        numbers = self._headline()
        numbers["accuracy"] = float(100 * classes.both.sum() / classes.true.sum())
        numbers["macc"] = float(shares.mean())
        return {**numbers, "classes": len(classes.label), "samples": len(self._images)}

    def picture(self) -> Matrix:
        """What pixels of each class are taken for, of more than 40 classes the largest ones."""
        classes, pixels = self._classes(), self._joined()[1]
        largest = np.sort(classes.label[np.argsort(-classes.true, kind="stable")[:SHOWN]])
        size = len(largest)
        chosen = np.isin(pixels.true, largest) & np.isin(pixels.predicted, largest)
        places = (np.searchsorted(largest, each[chosen]) for each in pixels[:2])
        rows, columns = places
        cells = np.bincount(rows * size + columns, pixels.count[chosen], size**2)
        whole = classes.true[np.searchsorted(classes.label, largest)]
        shares = 100 * cells.reshape(size, size) / np.maximum(whole, 1)[:, None]
        title = "pixels of a class by what they are taken for, %"
        return Matrix(title, "predicted", "class", largest.tolist(), shares.tolist())


if __name__ == "__main__":
    from metrics.cli.command import main

    main(MeanIoU)
