"""What is told of panoptic and semantic maps beside the metric: what classes are taken for, and how
good the map of each image is."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from flows.measuring.verdicts import KINDS, NONE, Scene, judged, taken_for
from metrics.blocks.masks.mapruns import MapRuns
from metrics.blocks.metric import Batch
from metrics.blocks.panoptic.segments import segments_of, shared
from metrics.pq import PQ

UNKNOWN = 255
PERCENT = 100.0


class SemanticDetails:
    """Takes in maps (h, w) of classes, batch by batch, and tells of them."""

    def __init__(self) -> None:
        self._tables: list[ndarray] = []

    def add(self, ids: Sequence[str], given: Batch, true: Batch) -> None:
        """Take in the column `semantic` of n images of both sides."""
        for row in range(len(ids)):
            found, real = (np.asarray(each["semantic"][row].cpu()) for each in (given, true))
            self._tables.append(pairs_of(real.ravel(), found.ravel()))

    def told(self, classes: int) -> dict[str, Any]:
        """Pixels by true class (rows) and the class found, the last column: none."""
        whole = np.zeros((classes, classes + 1), np.int64)
        for table in self._tables:
            place = np.where(table[:, 1] == UNKNOWN, classes, table[:, 1])
            np.add.at(whole, (table[:, 0], place), table[:, 2])
        return {"confusion": whole.tolist(), "of": "pixels"}

    def qualities(self) -> ndarray:
        """Mean IoU of each image in percent over the classes that it shows or is said to show."""
        return np.array(list(map(_mean_iou, self._tables)))


def pairs_of(real: ndarray, found: ndarray) -> ndarray:
    """(class, class found, pixels), int64 (k, 3), of pixels (n,) whose class is known."""
    known = real != UNKNOWN
    coded = real[known].astype(np.int64) * (UNKNOWN + 1) + np.minimum(found[known], UNKNOWN)
    values, counts = np.unique(coded, return_counts=True)
    return np.stack([values // (UNKNOWN + 1), values % (UNKNOWN + 1), counts], 1)


def _mean_iou(table: ndarray) -> float:
    classes = np.unique(table[:, :2])
    ious = []
    for label in classes[classes != UNKNOWN].tolist():
        either = (table[:, 0] == label) | (table[:, 1] == label)
        both = (table[:, 0] == label) & (table[:, 1] == label)
        ious.append(table[both, 2].sum() / table[either, 2].sum())
    return PERCENT * float(np.mean(ious)) if ious else PERCENT


class PanopticDetails:
    """Takes in panoptic maps and their segments, batch by batch, and tells of them."""

    def __init__(self) -> None:
        self._scenes: list[Scene] = []
        self._qualities: list[float] = []
        self._work = MapRuns()

    def add(self, ids: Sequence[str], given: Batch, true: Batch) -> None:
        """Take in the columns `panoptic`, `panoptic_label` and so on of n images of both sides."""
        for row in range(len(ids)):
            sides = (
                segments_of(each, row, np.asarray(each["panoptic"][row].cpu()))
                for each in (given, true)
            )
            found, real = sides
            pixels = shared(found, real, self._work, None).all
            inside = pixels[1:, 1:].T
            # pixels that are void in the truth are not part of a union
            known = pixels[1:, 1:].sum(0)
            union = known[:, None] + pixels[1:].sum(1) - inside
            ious = np.divide(inside, union, out=np.zeros_like(inside), where=union > 0)
            crowd = np.divide(inside, known[:, None], out=np.zeros_like(inside), where=inside > 0)
            ious = np.where(real.crowd, crowd, ious)
            # a prediction that is void for the greater part is neither right nor wrong
            kept = 2 * pixels[0, 1:] <= pixels[:, 1:].sum(0)
            # of no scores: all are as sure
            scores = np.ones(int(kept.sum()))
            labels = found.labels[kept]
            self._scenes.append(Scene(ious[kept], labels, scores, real.labels, real.crowd))
            self._qualities.append(_quality(given, true, row))

    def told(self, classes: int) -> dict[str, Any]:
        """Segments by kind of error, and by true class and the class that they were taken for."""
        whole, counts, missed = np.zeros((classes + 1, classes + 1), np.int64), 0, 0
        for scene in self._scenes:
            pairs = taken_for(scene, 0.0)
            pairs = np.where(pairs == NONE, classes, pairs)
            np.add.at(whole, (pairs[:, 0], pairs[:, 1]), 1)
            verdicts = judged(scene)
            counts = counts + np.bincount(verdicts.kind, minlength=len(KINDS))
            missed += int(verdicts.missed.sum())
        kinds = dict(zip(KINDS, np.broadcast_to(counts, len(KINDS)).tolist(), strict=True))
        errors = kinds | {"missed": missed}
        return {"confusion": whole.tolist(), "of": "segments", "errors": errors}

    def qualities(self) -> ndarray:
        """Panoptic quality of each image alone, in percent; 100 where there is nothing."""
        return np.array(self._qualities)


def _quality(given: Batch, true: Batch, row: int) -> float:
    one = PQ(resamples=0)
    try:
        one.update(_alone(given, row), _alone(true, row))
        return float(one.compute()["pq"])
    except ValueError:  # an image of which nothing counts
        return PERCENT


def _alone(batch: Batch, row: int) -> Batch:
    return {name: column[row : row + 1] for name, column in batch.items()}
