"""Two panoptic maps of an image, counted: how many pixels each pair of segments shares.

Maps are of few segments, so they are read as runs of pixels that no segment ends in: what is
counted are the runs, a hundredth of the pixels.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy import ndarray

from metrics.blocks.masks.boundary import distance, of_labels
from metrics.blocks.masks.mapruns import MapRuns
from metrics.blocks.refusing import some

BITS = 24
IDS = 2**BITS  # of three bytes, red + 256 green + 256^2 blue
OPAQUE = -1  # a fourth that is 255 does not count


class Segments(NamedTuple):
    """The s segments of a map.

    pixels: int (h, w), ids of segments, 0 void; their highest byte may be 255. ids, labels: int64
    (s,). crowd: bool (s,).
    areas: float64 (s,) in pixels as they were annotated, or None: then they are counted.
    """

    pixels: ndarray
    ids: ndarray
    labels: ndarray
    crowd: ndarray
    areas: ndarray | None


class Shared(NamedTuple):
    """Pixels, float64, that segments of the truth (rows) and predictions (columns) share.

    all: (t + 1, p + 1), where row and column 0 are void. edge: the same of pixels of both boundary
    regions, where a further row and column are pixels that are in no boundary region; or None.
    """

    all: ndarray
    edge: ndarray | None


def shared(predicted: Segments, true: Segments, work: MapRuns, ratio: float | None) -> Shared:
    """Counts the pixels; ratio: of the image's diagonal, how wide boundary regions are, or None.

    ValueError where a map has ids that none of its segments has.
    """
    maps = [true.pixels, predicted.pixels]
    edges = []
    if ratio is not None:
        d = distance(*true.pixels.shape, ratio)
        edges = [of_labels(each, d) for each in maps]
    starts, lengths = work.runs([each.ravel() for each in [*maps, *edges]])
    coded = [
        _coded(each, starts, name)
        for each, name in ((true, "the target"), (predicted, "the prediction"))
    ]
    sizes = len(true.ids) + 1, len(predicted.ids) + 1
    whole = _table(*coded, lengths, sizes)
    if not edges:
        return Shared(whole, None)
    # void has no boundary region: it stays what it is
    near = [
        np.where(edge.ravel()[starts] | (codes == 0), codes, size)
        for edge, codes, size in zip(edges, coded, sizes, strict=True)
    ]
    return Shared(whole, _table(*near, lengths, (sizes[0] + 1, sizes[1] + 1)))


def _coded(segments: Segments, starts: ndarray, whose: str) -> ndarray:
    """Of the pixels (k,) the numbers of their segments, from 1 on, 0 void; int64 (k,)."""
    found = segments.pixels.ravel()[starts].astype(np.int64)
    highest = found >> BITS
    if len(found) and (highest.min() < OPAQUE or highest.max() > 0):
        raise ValueError(f"{whose} has ids outside of 0 to {IDS - 1}: three bytes are an id")
    found &= IDS - 1
    order = np.argsort(segments.ids)
    ids, codes = np.zeros((2, len(order) + 1), np.int64)
    ids[1:], codes[1:] = segments.ids[order], order + 1
    place = np.searchsorted(ids, found, side="right") - 1
    strange = ids[place] != found
    if strange.any():
        alone = np.unique(found[strange]).tolist()
        raise ValueError(
            f"{whose} has {len(alone)} ids ({some(alone)}) in the map, and among its segments "
            "there is none"
        )
    return codes[place]


def _table(rows: ndarray, columns: ndarray, lengths: ndarray, shape: tuple[int, int]) -> ndarray:
    counts = np.bincount(rows * shape[1] + columns, lengths, shape[0] * shape[1])
    return counts.reshape(shape)


def segments_of(columns: Mapping[str, Any], row: int, pixels: Any) -> Segments:
    """The segments of one row of a batch; ValueError where they do not fit the map, (h, w)."""
    labels = _array(columns["panoptic_label"][row], np.int64)
    map_ = np.asarray(pixels)
    if map_.ndim != 2 or map_.dtype.kind not in "iu":
        raise ValueError(f"a map of shape {map_.shape}, {map_.dtype}: give integers (h, w)")
    ids = np.arange(1, len(labels) + 1)
    if "panoptic_id" in columns:
        ids = _array(columns["panoptic_id"][row], np.int64)
    crowd = np.zeros(len(labels), bool)
    if "panoptic_crowd" in columns:
        crowd = _array(columns["panoptic_crowd"][row], bool)
    areas = None
    if "panoptic_area" in columns:
        areas = _array(columns["panoptic_area"][row], np.float64)
    each = [column for column in (ids, crowd, areas) if column is not None]
    if {column.shape for column in each} != {labels.shape}:
        shapes = sorted({str(column.shape) for column in [labels, *each]})
        raise ValueError(f"columns of its segments have {', '.join(shapes)} numbers: give as many")
    ordered = np.sort(ids)
    if (ordered[1:] == ordered[:-1]).any() or ((ordered < 1) | (ordered >= IDS)).any():
        raise ValueError(f"ids of segments are to be different, of 1 to {IDS - 1}")
    if labels.min(initial=0) < 0:
        raise ValueError("a class below 0: classes are counted from 0")
    return Segments(map_, ids, labels, crowd, areas)


def _array(column: Any, kind: type) -> ndarray:
    found = column.cpu().numpy() if isinstance(column, torch.Tensor) else np.asarray(column)
    return found.astype(kind, copy=False)
