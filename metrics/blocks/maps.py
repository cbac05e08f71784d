"""Maps of classes held to the annotated ones: what `MeanIoU` and `BoundaryIoU` share."""

from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from metrics.blocks.bootstrap import percentiles
from metrics.blocks.columns import found_name
from metrics.blocks.decoded import called
from metrics.blocks.masks.boundary import distance, of_labels
from metrics.blocks.masks.mapruns import MapRuns
from metrics.blocks.metric import Batch, Reads
from metrics.blocks.ratios import resampled_ratios
from metrics.blocks.refusing import refuse_none

UNKNOWN = 255  # of a pixel whose class nobody knows
NONE = -1  # of a pixel that counts for no class
MOST = 2**17  # classes, with NONE


class Pixels(NamedTuple):
    """Pixels by what they are and what they were taken for, int64 (k,) each; NONE: for no class."""

    true: ndarray
    predicted: ndarray
    count: ndarray


class Classes(NamedTuple):
    """Pixels of c classes, float64 (c,): found, of the truth, predicted; label int64 (c,)."""

    label: ndarray
    both: ndarray
    true: ndarray
    predicted: ndarray

    def ious(self) -> ndarray:
        """In percent, (c,)."""
        return 100 * self.both / (self.true + self.predicted - self.both)


class OverMaps:
    """One says `headline`; `_ratio` of the diagonal is how wide boundary regions are, None: all."""

    headline: ClassVar[str]
    higher: ClassVar[bool] = True
    unit: ClassVar[str] = "%"
    files: ClassVar[str] = "labelmaps"
    reads: ClassVar[Reads] = Reads(("semantic",), ("semantic",), ("semantic_known", "group"))

    _ratio: float | None = None

    def __init__(self, resamples: int) -> None:
        """resamples: of the bootstrap over images that gives the interval; 0: no interval."""
        self.resamples = resamples
        self._images: list[Pixels] = []
        self._groups: list[int | None] = []

    def update(self, predictions: Batch, targets: Batch) -> None:
        """Take in n maps (h, w); ValueError names a row that is none."""
        given = predictions[found_name(predictions, "semantic", "predictions")]
        true = targets[found_name(targets, "semantic", "targets")]
        if len(given) != len(true):
            raise ValueError(f"{len(given)} predictions and {len(true)} targets: give one for each")
        known = targets.get("semantic_known", torch.ones(len(true)))
        groups = targets.get("group", [None] * len(true))
        work = MapRuns()
        for row, maps in enumerate(zip(given, true, strict=True)):
            if not known[row]:
                continue
            try:
                self._images.append(self._counted(*map(_map, maps), work))
            except ValueError as error:
                raise ValueError(f"{called(true, row)}: {error}") from None
            self._groups.append(None if groups[row] is None else int(groups[row]))

    def _counted(self, predicted: ndarray, true: ndarray, work: MapRuns) -> Pixels:
        if predicted.shape != true.shape:
            raise ValueError(
                f"the prediction is of {predicted.shape} pixels, the target of {true.shape} "
                "(height, width): give maps of one size, resized to the nearest class"
            )
        edges = [] if self._ratio is None else _edges(predicted, true, self._ratio)
        flat = [each.ravel() for each in (predicted, true, *edges)]
        starts, lengths = work.runs(flat)
        found, real = (each[starts].astype(np.int64) for each in flat[:2])
        known, found = real != UNKNOWN, np.where(found == UNKNOWN, NONE, found)
        if edges:
            found, real = (
                np.where(edge[starts], each, NONE)
                for edge, each in zip(flat[2:], (found, real), strict=True)
            )
        # one number of both, from 0 on, since NONE is -1
        kinds, place = np.unique((real + 1) * MOST + found + 1, return_inverse=True)
        counts = np.bincount(place, lengths * known, len(kinds)).astype(np.int64)
        kinds, counts = kinds[counts > 0], counts[counts > 0]
        return Pixels(kinds // MOST - 1, kinds % MOST - 1, counts)

    def merge(self, other: "OverMaps") -> None:
        """Add the images that another one has seen."""
        assert self._ratio == other._ratio, "metrics of two widths of boundaries do not add up"
        self._images += other._images
        self._groups += other._groups

    def each(self) -> None:
        """None: the mean is one over classes."""

    def resampled(self) -> Tensor | None:
        """Each is the mean over those classes that are in the resample."""
        if not self.resamples:
            return None
        image, pixels = self._joined()
        both = np.where(pixels.true == pixels.predicted, pixels.count, 0)
        # a pixel of a pair of classes counts for both
        extra = (pixels.true != pixels.predicted) & (pixels.predicted != NONE)
        first = pixels.true != NONE
        label = np.concatenate([pixels.true[first], pixels.predicted[extra]])
        below = np.concatenate([pixels.count[first], pixels.count[extra]])
        above = np.concatenate([both[first], both[extra]])
        sample = np.concatenate([image[first], image[extra]])
        return resampled_ratios(above, below, sample, label, self._groups, self.resamples)

    def rows(self) -> list[dict[str, float]]:
        """{"class", "pixels", "predicted_pixels", "iou"} of every class, iou in percent."""
        classes = self._classes()
        counts = (classes.label, classes.true.astype(int), classes.predicted.astype(int))
        table = zip(*(each.tolist() for each in (*counts, classes.ious())), strict=True)
        names = ("class", "pixels", "predicted_pixels", "iou")
        return [dict(zip(names, row, strict=True)) for row in table]

    def _headline(self) -> dict[str, float]:
        """The headline, and the ends of its interval where there is one."""
        numbers = {self.headline: float(self._classes().ious().mean())}
        found = self.resampled()
        return numbers if found is None else numbers | percentiles(self.headline, found)

    def _joined(self) -> tuple[ndarray, Pixels]:
        """(image (k,), all pixels); ValueError where there are none."""
        refuse_none(len(self._images))
        pixels = Pixels(*map(np.concatenate, zip(*self._images, strict=True)))
        if not len(pixels.count):
            raise ValueError(f"all pixels of {len(self._images)} images are unknown ({UNKNOWN})")
        kinds = [len(each.count) for each in self._images]
        return np.repeat(np.arange(len(kinds)), kinds), pixels

    def _classes(self) -> Classes:
        """Of the classes that are anywhere."""
        pixels = self._joined()[1]
        labels = np.unique(np.concatenate([pixels.true, pixels.predicted]))
        labels = labels[labels != NONE]
        same = pixels.true == pixels.predicted
        return Classes(
            labels,
            _summed(pixels.true[same], pixels.count[same], labels),
            _summed(pixels.true, pixels.count, labels),
            _summed(pixels.predicted, pixels.count, labels),
        )


def _edges(predicted: ndarray, true: ndarray, ratio: float) -> list[ndarray]:
    """The boundary regions of both, bool (h, w); what is unknown in the truth is so in both."""
    d, unknown = distance(*true.shape, ratio), true == UNKNOWN
    if unknown.any():
        predicted = np.where(unknown, UNKNOWN, predicted)
    return [of_labels(predicted, d), of_labels(true, d)]


def _summed(kinds: ndarray, counts: ndarray, labels: ndarray) -> ndarray:
    """The counts of each label, float64 (c,)."""
    known = kinds != NONE
    return np.bincount(np.searchsorted(labels, kinds[known]), counts[known], len(labels))


def _map(column: Tensor) -> ndarray:
    found = torch.as_tensor(column).cpu().numpy()
    if found.ndim != 2 or found.dtype.kind not in "iu":
        raise ValueError(f"a map of shape {found.shape}, {found.dtype}: give integers (h, w)")
    if found.size and (found.min() < 0 or found.max() >= MOST - 1):
        raise ValueError(f"classes of {found.min()} to {found.max()}: give 0 to {MOST - 2}")
    return found
