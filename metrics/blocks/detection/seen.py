"""The objects that a metric of detection has seen: kept where they are until they are asked for."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from metrics.blocks.columns import found_name
from metrics.blocks.detection.objects import Objects
from metrics.blocks.metric import Batch
from metrics.blocks.refusing import refuse, refuse_none, refuse_unknown

# what an annotated object may have beside its shape and class, one value each
FLAGS = ("box_crowd", "box_ignore", "box_area")
# classes of an image; of every class how frequent it is
LISTS = ("negative", "not_exhaustive", "frequency")
MORE = (*FLAGS, *LISTS, "group")
KNOWN = "_known"
# x + width - x need not be the width again, to the last digit: where a file has widths they count
SIDES = "box_sides"


class Both(NamedTuple):
    """Detections and annotated objects of all images, and what is known of the images.

    images: how many. group int64 (images,). negative, not_exhaustive: (image, class) int64 (p, 2).
    federated: whether it is told which classes are absent; else all are annotated everywhere.
    frequency: int64 (classes,), 0 rare, 1 common, 2 frequent; of no class where it is not known.
    """

    detections: Objects
    truths: Objects
    images: int
    group: ndarray
    negative: ndarray
    not_exhaustive: ndarray
    federated: bool
    frequency: ndarray


class SeenObjects:
    """Columns of the images so far, rows of one image each.

    shape: of shapes.py, what is compared. more: which of MORE is read where it is there.
    """

    def __init__(self, shape: Any, more: Sequence[str] = MORE) -> None:
        self.shape, self._more = shape, more
        self._rows: list[dict[str, Any]] = []

    def add(self, predictions: Batch, targets: Batch) -> None:
        """Keep the columns of n images; ValueError where one is missing or does not fit."""
        given = self._side(predictions, "predictions", ["box_label", "box_score"])
        there = [name for name in self._more if name in targets]
        more = [name for name in there if name in FLAGS]
        true = self._side(targets, "targets", ["box_label", *self.shape.needs, *more])
        images = len(given)
        if len(true) != images:
            raise ValueError(
                f"targets of {len(true)} images and predictions of {images}: give a row per image "
                "in both, in the same order"
            )
        told = {name: targets[name] for name in there if name not in FLAGS}
        known = [targets[name] for name in targets if name.endswith(KNOWN)]
        for row in range(images):
            lists = {name: column[row] for name, column in told.items()}
            facts = {"known": [column[row] for column in known], **lists}
            self._rows.append({"given": given[row], "true": true[row], **facts})

    def _side(self, batch: Batch, whose: str, names: Sequence[str]) -> list[dict[str, Any]]:
        """Shapes and values of one side, a row per image."""
        column = found_name(batch, self.shape.column, whose)
        sides = [SIDES] * (SIDES in batch and column == "boxes")
        values = {name: batch[found_name(batch, name, whose)] for name in (*names, *sides)}
        rows = []
        for row, shapes in enumerate(batch[column]):
            kept = {"shapes": self.shape.kept(shapes)}
            kept |= {name: each[row] for name, each in values.items()}
            for name, value in kept.items():
                if len(value) != len(kept["shapes"]):
                    raise ValueError(
                        f"{whose}, image {row}: {len(kept['shapes'])} {column} and {len(value)} "
                        f"of {name}; give one for each object"
                    )
            rows.append(kept)
        return rows

    def merge(self, other: "SeenObjects") -> None:
        """Add the images of another one, after the own."""
        self._rows += other._rows

    def __getstate__(self) -> dict:
        """On the CPU: workers send it to one another."""
        return self.__dict__ | {"_rows": [_on_cpu(row) for row in self._rows]}

    def counted(self) -> Both:
        """All images whose objects are known; ValueError where there is none, or a NaN."""
        refuse_none(len(self._rows))
        rows = [row for row in self._rows if all(map(bool, row["known"]))]
        refuse_unknown(len(rows), len(self._rows))
        given = self._objects([row["given"] for row in rows])
        _refuse_nan(given.score, given.image, len(rows), "scores")
        true = self._objects([row["true"] for row in rows])
        for side in (given, true):
            if isinstance(side.shapes, ndarray):
                _refuse_nan(side.shapes, side.image, len(rows), self.shape.column)
        group = [int(row.get("group", place)) for place, row in enumerate(rows)]
        lists = [_pairs(rows, name) for name in LISTS[:2]]
        frequency = rows[0].get("frequency", torch.zeros(0))
        federated = any("negative" in row for row in rows)
        frequency = frequency.cpu().numpy()
        return Both(given, true, len(rows), np.array(group), *lists, federated, frequency)

    def _objects(self, rows: Sequence[dict[str, Any]]) -> Objects:
        """The objects of one side, in the order of their images."""
        sizes = [len(row["shapes"]) for row in rows]
        shapes = self.shape.flat([row["shapes"] for row in rows])

        def flat(name: str, default: float, kind: type, *shape: int) -> ndarray:
            parts = [
                row[name] if name in row else torch.full((size, *shape), default)
                for row, size in zip(rows, sizes, strict=True)
            ]
            whole = torch.cat([part.detach().cpu() for part in parts]).double()
            return whole.reshape(len(shapes), *shape).numpy().astype(kind)

        area, sides = flat("box_area", np.nan, float), flat(SIDES, np.nan, float, 2)
        if self.shape.column == "boxes":
            sides = np.where(np.isnan(sides), shapes[:, 2:] - shapes[:, :2], sides)
        own = self.shape.areas(shapes, sides) if np.isnan(area).any() else area
        label = flat("box_label", 0, int)
        if label.min(initial=0) < 0:
            raise ValueError(f"objects of class {label.min()}: classes are counted from 0")
        return Objects(
            image=np.repeat(np.arange(len(rows)), sizes),
            label=label,
            shapes=shapes,
            area=np.where(np.isnan(area), own, area),
            score=flat("box_score", 0, float),
            crowd=flat("box_crowd", 0, bool),
            ignore=flat("box_ignore", 0, bool),
            boxes=flat("boxes", 0, float, 4),
            sides=sides,
        )


def _pairs(rows: Sequence[Mapping[str, Any]], name: str) -> ndarray:
    """(image, class) of every class that a row names, int64 (p, 2)."""
    classes = [row.get(name, torch.zeros(0)).cpu().numpy() for row in rows]
    sizes = list(map(len, classes))
    joined = np.concatenate(classes).astype(int)
    return np.stack([np.repeat(np.arange(len(rows)), sizes), joined], 1)


def _refuse_nan(values: ndarray, image: ndarray, images: int, what: str) -> None:
    """ValueError that names the images of objects (n,) whose values (n, ...) hold a NaN."""
    broken = np.isnan(values).any(tuple(range(1, values.ndim)))
    refuse(
        np.bincount(image[broken], minlength=images) > 0,
        f"have a NaN among their {what}",
        "a training that has diverged gives such weights: measure another network",
    )


def _on_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {name: _on_cpu(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_on_cpu(each) for each in value]
    return value
