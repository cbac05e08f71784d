"""Segments of a prediction held to those of the truth: found, missed, made up.

Kirillov, He, Girshick, Rother, Dollar 2019, "Panoptic Segmentation", section 4, and what the
authors' code adds of void and crowds: cocodataset/panopticapi, panopticapi/evaluation.py,
pq_compute_single_core; of boundaries: bowenc0221/boundary-iou-api, coco_panoptic_api/evaluation.py.

- Two segments of a class match where their IoU is above 0.5: of a segment at most one other.
- Pixels of a prediction that are void in the truth are not part of the union.
- A crowd of the truth matches nothing and is not missed.
- A prediction without match is left out where over half of it is void or in the crowd of its class,
  of several crowds the last; else it is made up.
"""

from typing import NamedTuple

import numpy as np
from numpy import ndarray

from metrics.blocks.panoptic.segments import Segments, Shared
from metrics.blocks.refusing import some

LEAST = 0.5


class Found(NamedTuple):
    """What became of k segments: the class (k,); whether it is found (tp), made up, missed.

    iou: float64 (k,), of those that are found; 0 for the others.
    """

    label: ndarray
    tp: ndarray
    fp: ndarray
    fn: ndarray
    iou: ndarray


def matched(predicted: Segments, true: Segments, pixels: Shared) -> Found:
    """Every segment of both that counts, once."""
    areas = pixels.all.sum(0)[1:]
    absent = predicted.ids[areas == 0]
    if len(absent):
        raise ValueError(
            f"the prediction has {len(absent)} segments without a pixel in the map (ids "
            f"{some(absent)}): leave them out"
        )
    ious = _ious(predicted, true, pixels)
    rows, columns = np.nonzero(ious > LEAST)
    missed = ~true.crowd
    missed[rows] = False
    made_up = pixels.all[0, 1:] + _in_crowds(predicted, true, pixels) <= LEAST * areas
    made_up[columns] = False
    labels = [true.labels[rows], predicted.labels[made_up], true.labels[missed]]
    kinds = np.repeat([0, 1, 2], list(map(len, labels)))
    iou = np.concatenate([ious[rows, columns], np.zeros(len(kinds) - len(rows))])
    return Found(np.concatenate(labels), kinds == 0, kinds == 1, kinds == 2, iou)


def _ious(predicted: Segments, true: Segments, pixels: Shared) -> ndarray:
    """(t, p): the IoU of pairs that may match, else 0; with boundaries the lower of both."""
    may = (true.labels[:, None] == predicted.labels) & ~true.crowd[:, None]
    may &= pixels.all[1:, 1:] > 0
    ious = _iou(pixels.all, true.areas, may)
    if pixels.edge is None:
        return ious
    return np.minimum(ious, _iou(pixels.edge, None, may))


def _iou(pixels: ndarray, areas: ndarray | None, may: ndarray) -> ndarray:
    """(t, p), 0 where two may not match; areas: of the truth, counted where they are None."""
    count, width = may.shape
    rows = pixels.sum(1)[1 : count + 1] if areas is None else areas
    columns = pixels.sum(0)[1 : width + 1]
    shared = pixels[1 : count + 1, 1 : width + 1]
    union = columns + rows[:, None] - shared - pixels[0, 1 : width + 1]
    return np.divide(shared, union, out=np.zeros_like(union), where=may)


def _in_crowds(predicted: Segments, true: Segments, pixels: Shared) -> ndarray:
    """(p,): pixels of each prediction in the last crowd of its class."""
    inside = np.zeros(len(predicted.ids))
    for row in np.flatnonzero(true.crowd):
        same = predicted.labels == true.labels[row]
        inside[same] = pixels.all[row + 1, 1:][same]
    return inside
