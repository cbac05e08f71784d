"""Objects of all images in flat arrays, grouped into pairs: those of one class in one image."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray


class Objects(NamedTuple):
    """n objects, a row each; detections have a score, annotated ones the rest.

    image, label, pair int64 (n,). shapes: whatever a shape of shapes.py compares, n of them: an
    array (n, ...) or a list. area float64 (n,), px. score float64 (n,). crowd, ignore bool (n,).
    boxes float64 (n, 4), x1 y1 x2 y2 px, where the shape needs them too. sides float64 (n, 2),
    width and height of boxes, where these are compared.
    """

    image: ndarray
    label: ndarray
    shapes: Any
    area: ndarray
    score: ndarray
    crowd: ndarray
    ignore: ndarray
    boxes: ndarray
    sides: ndarray

    def taken(self, rows: ndarray) -> "Objects":
        """Some of them, in this order."""
        return Objects(*(_taken(column, rows) for column in self))


def _taken(column: ndarray | list, rows: ndarray) -> ndarray | list:
    if isinstance(column, list):
        return [column[row] for row in rows.tolist()]
    return column[rows]


def pair_of(objects: Objects, classes: int) -> ndarray:
    """The number of each object's pair, int64 (n,); the pairs of an image follow one another."""
    return objects.image * classes + objects.label


def rank_within(groups: ndarray) -> ndarray:
    """The place of each row among those of its group, int64 (n,): groups (n,) come in order."""
    first = np.searchsorted(groups, groups, side="left")
    return np.arange(len(groups)) - first


class Blocks(NamedTuple):
    """Pairs that have both: the b-th has detections first[b]:last[b], annotated objects likewise.

    Each is int64 (b,). The objects of both sides are sorted by pair.
    """

    first: ndarray
    last: ndarray
    true_first: ndarray
    true_last: ndarray

    def sizes(self) -> ndarray:
        """How many overlaps each block has, int64 (b,)."""
        return (self.last - self.first) * (self.true_last - self.true_first)

    def combinations(self) -> tuple[ndarray, ndarray]:
        """(detection, annotated object) of all overlaps, int64 (e,) each.

        Block by block, and in it all annotated objects of the first detection, then of the second.
        """
        sizes = self.sizes()
        block = np.repeat(np.arange(len(sizes)), sizes)
        place = np.arange(sizes.sum()) - np.repeat(sizes.cumsum() - sizes, sizes)
        width = (self.true_last - self.true_first)[block]
        return self.first[block] + place // width, self.true_first[block] + place % width

    def parts(self, most: int) -> Iterator["Blocks"]:
        """Some blocks at a time, of about so many overlaps, so that these fit into memory."""
        part = (self.sizes().cumsum() - 1) // most
        for cut in np.split(np.arange(len(part)), np.flatnonzero(np.diff(part)) + 1):
            if len(cut):
                yield Blocks(*(column[cut] for column in self))


def blocks_of(pair: ndarray, true_pair: ndarray) -> Blocks:
    """The pairs that both have, of sorted numbers of pairs (n,) and (g,)."""
    both = np.intersect1d(pair, true_pair)
    ends = [
        np.searchsorted(numbers, both, side=side)
        for numbers in (pair, true_pair)
        for side in ("left", "right")
    ]
    return Blocks(*ends)
