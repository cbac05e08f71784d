"""What is told of detections beside the metric: which are wrong in which way, how sure they are.

- the score from which on detections are shown: that of the highest F1, of all classes together,
- objects by their class and the class that they were taken for, from that score on,
- Küppers, Kronenberger, Shantia, Haselhoff 2020, "Multivariate Confidence Calibration for Object
  Detection", arXiv 2004.13546, section 3, of scores alone: precision by score, and the mean
  distance of both (D-ECE),
- Dave et al. 2021, arXiv 2102.01066: average precision of each class's own ranking (AP-fixed) and
  of one ranking of all (AP-pool), which is lower where scores do not compare across classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy import ndarray

from flows.measuring.verdicts import (
    FOUND,
    IGNORED,
    KINDS,
    Scene,
    Verdicts,
    judged,
    taken_for,
)
from metrics.ap_fixed import APFixed
from metrics.ap_pool import APPool
from metrics.blocks.detection.shapes import box_iou, encoded, mask_iou
from metrics.blocks.metric import Batch

BINS = 15  # as of classes: Guo et al. 2017
FEDERATED = ("negative", "not_exhaustive")
MORE = ("box_crowd", "box_ignore", "box_area", *FEDERATED, "frequency")
PERCENT = 100.0


class Image(NamedTuple):
    """One image: its id, its scene, what became of it, the order of its detections in the batch."""

    id: str
    scene: Scene
    verdicts: Verdicts
    order: ndarray


def shaped(metric: Any, given: Batch, true: Batch) -> str:
    """What the objects of two batches are compared by: `masks` where the metric does, or boxes."""
    column = getattr(getattr(metric, "shape", None), "column", "boxes")
    return "masks" if column == "masks" and "masks" in given and "masks" in true else "boxes"


def with_runs(batch: Batch) -> Batch:
    """The batch with its masks as run lengths: they are encoded once for all that read them."""
    if "masks" not in batch:
        return batch
    runs = [encoded(row) if isinstance(row, torch.Tensor) else row for row in batch["masks"]]
    return {**batch, "masks": runs}


class ObjectDetails:
    """Takes in what a network finds, batch by batch, and tells of it. by: `boxes` or `masks`."""

    def __init__(self, by: str) -> None:
        self.by = by
        self.images: list[Image] = []
        self._batches: list[tuple[Batch, Batch]] = []

    def add(self, ids: Sequence[str], given: Batch, true: Batch) -> None:
        """Take in columns of n images; masks as run lengths."""
        for row, name in enumerate(ids):
            self.images.append(self._image(name, given, true, row))
        names = self.by, "box_label"
        found = {name: given[name] for name in (*names, "box_score")}
        self._batches.append(
            (found, {name: true[name] for name in (*names, *MORE) if name in true})
        )

    def _image(self, name: str, given: Batch, true: Batch, row: int) -> Image:
        scores = _flat(given["box_score"][row], float)
        order = np.argsort(-scores, kind="stable")
        labels, true_labels = (_flat(each["box_label"][row], int) for each in (given, true))
        crowd = _flag(true, "box_crowd", row, len(true_labels))
        free = crowd | _flag(true, "box_ignore", row, len(true_labels))
        ious = self._ious(given, true, row, crowd)[order]
        scene = Scene(ious, labels[order], scores[order], true_labels, free)
        return Image(name, scene, judged(scene), order)

    def _ious(self, given: Batch, true: Batch, row: int, crowd: ndarray) -> ndarray:
        """float (d, t)."""
        sides = given[self.by][row], true[self.by][row]
        shape = tuple(map(len, sides))
        if 0 in shape:
            return np.zeros(shape)
        if self.by == "masks":
            return np.asarray(mask_iou(*sides, crowd))
        found, real = (_flat(each, float).reshape(-1, 4) for each in sides)
        areas = [(each[:, 2:] - each[:, :2]).prod(1) for each in (found, real)]
        rows, columns = (each.ravel() for each in np.indices(shape))
        pairs = found[rows], real[columns], areas[0][rows], areas[1][columns], crowd[columns]
        return box_iou(*pairs).reshape(shape)

    def told(self, classes: int) -> dict[str, Any]:
        """For a JSON file; shares in percent."""
        least = self.least()
        return {
            "by": self.by,
            "least": least,
            "errors": self.errors(least),
            "confusion": self.confusion(least, classes).tolist(),
            "calibration": self.calibration(),
            **self.ranked(),
            "found_per_image": float(np.mean([len(one.order) for one in self.images])),
        }

    def ranked(self) -> dict[str, float]:
        """AP-fixed and AP-pool."""
        told = [true.get("negative", ()) for _, true in self._batches]
        # a set of which no image says what it has not is annotated whole
        left_out = () if any(map(_any, told)) else FEDERATED
        metrics = {"ap_fixed": APFixed(self.by, resamples=0)}
        metrics["ap_pool"] = APPool(self.by, resamples=0)
        for given, true in self._batches:
            kept = {name: column for name, column in true.items() if name not in left_out}
            for metric in metrics.values():
                metric.update(given, kept)
        return {name: metric.compute()["ap"] for name, metric in metrics.items()}

    def ranking(self) -> tuple[ndarray, ndarray, int]:
        """(scores, falling; whether each detection is right; how many objects there are)."""
        empty = np.zeros(0)
        kinds = np.concatenate([empty, *(one.verdicts.kind for one in self.images)])
        scores = np.concatenate([empty, *(one.scene.scores for one in self.images)])
        objects = sum(int((~one.scene.free).sum()) for one in self.images)
        scores, kinds = scores[kinds != IGNORED], kinds[kinds != IGNORED]
        order = np.argsort(-scores, kind="stable")
        return scores[order], kinds[order] == FOUND, objects

    def least(self) -> float:
        """The score of the highest F1; where nothing is found 0."""
        scores, right, objects = self.ranking()
        if not right.any():
            return 0.0
        f1 = 2 * right.cumsum() / (np.arange(1, len(right) + 1) + objects)
        # of equal scores all count
        last = np.append(np.diff(scores) < 0, True)
        return float(scores[np.argmax(np.where(last, f1, 0))])

    def errors(self, least: float) -> dict[str, int]:
        """How many detections from this score on are of each kind, and objects are `missed`."""
        counts = np.zeros(len(KINDS), int)
        for one in self.images:
            sure = one.scene.scores >= least
            counts += np.bincount(one.verdicts.kind[sure], minlength=len(KINDS))
        missed = sum(int(missed_from(one, least).sum()) for one in self.images)
        return dict(zip(KINDS, counts.tolist(), strict=True)) | {"missed": missed}

    def confusion(self, least: float, classes: int) -> ndarray:
        """Objects by true class and the class that they were taken for, int64 (k + 1, k + 1).

        The last row: detections that are at no object; the last column: objects that are missed.
        """
        none = np.zeros((0, 2), np.int64)
        pairs = np.concatenate([none, *(taken_for(one.scene, least) for one in self.images)])
        pairs = np.where(pairs < 0, classes, pairs)
        flat = np.bincount(pairs[:, 0] * (classes + 1) + pairs[:, 1], minlength=(classes + 1) ** 2)
        return flat.reshape(classes + 1, classes + 1)

    def calibration(self) -> dict[str, Any]:
        """Mean score and precision of detections by bin of scores, and D-ECE, in percent."""
        scores, right, _ = self.ranking()
        place = np.clip(np.ceil(scores * BINS).astype(int) - 1, 0, BINS - 1)
        count = np.bincount(place, minlength=BINS)
        held = count > 0
        score, share = (
            PERCENT * np.bincount(place, each, BINS)[held] / count[held] for each in (scores, right)
        )
        error = float((count[held] * abs(score - share)).sum() / max(1, count.sum()))
        bins = {"score": score.tolist(), "right": share.tolist(), "count": count[held].tolist()}
        return bins | {"error": error}

    def qualities(self) -> ndarray:
        """F1 of each image in percent, of detections from `least` on, float (n,); 100 where there
        is nothing to find and nothing is found."""
        least, found = self.least(), []
        for one in self.images:
            kinds = one.verdicts.kind[one.scene.scores >= least]
            right, given = int((kinds == FOUND).sum()), int((kinds != IGNORED).sum())
            whole = given + int((~one.scene.free).sum())
            found.append(PERCENT * 2 * right / whole if whole else PERCENT)
        return np.array(found)


def missed_from(one: Image, least: float) -> ndarray:
    """Which objects no detection from this score on finds, bool (t,)."""
    missed = ~one.scene.free
    found = (one.verdicts.kind == FOUND) & (one.scene.scores >= least)
    missed[one.verdicts.owner[found]] = False
    return missed


def _any(column: Sequence[torch.Tensor]) -> bool:
    return any(len(row) for row in column)


def _flat(column: Any, kind: type) -> ndarray:
    found = column.detach().cpu().numpy() if isinstance(column, torch.Tensor) else column
    return np.asarray(found).astype(kind)


def _flag(batch: Mapping[str, Any], name: str, row: int, count: int) -> ndarray:
    return _flat(batch[name][row], bool) if name in batch else np.zeros(count, bool)
