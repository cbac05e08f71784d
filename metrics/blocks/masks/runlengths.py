"""COCO's run lengths: masks cut to their boxes without an image ever being decoded whole.

A mask of an image (h, w) is read column by column; its counts are lengths of runs of zeros and of
ones in turn, zeros first, written as text with 5 bits per character, and from the fourth count on
as the difference to the one two before: cocodataset/cocoapi, common/maskApi.c, rleFrString.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray

Rle = Mapping[str, Any]
FIRST = 48  # the character of 0
MORE, SIGN, BITS = 0x20, 0x10, 0x1F
LONGEST = 6  # characters of a count: lengths of 30 bits are more than any image has


class Crops(NamedTuple):
    """m masks, each cut to the pixels that it has.

    size: (h, w) of the image. boxes: int64 (m, 4), x1 y1 x2 y2, the ends excluded; zeros for a mask
    without pixels. areas: int64 (m,), pixels. pixels: m arrays bool (x2 - x1, y2 - y1), by columns.
    """

    size: tuple[int, int]
    boxes: ndarray
    areas: ndarray
    pixels: list[ndarray]


class Runs(NamedTuple):
    """Runs of ones, of all masks: int64 (k,) each; the end is excluded."""

    mask: ndarray
    start: ndarray
    end: ndarray


def crops(masks: Any) -> Crops:
    """Masks bool (m, h, w), or a list of run lengths {"size": [h, w], "counts": bytes}, as crops.

    ValueError where the masks of an image differ in size, or counts do not add up to it.
    """
    if isinstance(masks, list | tuple) and not masks:
        return _cut((0, 0), 0, Runs(*np.zeros((3, 0), np.int64)))
    if isinstance(masks, list | tuple) and isinstance(masks[0], Mapping):
        size = _size(masks)
        return _cut(size, len(masks), runs_of(masks, size[0] * size[1]))
    return of_arrays(np.asarray(masks))


def of_arrays(masks: ndarray) -> Crops:
    """Masks (m, h, w), a pixel above 0 being one of the mask."""
    if masks.ndim != 3:
        raise ValueError(f"masks of shape {masks.shape}: give one per object, (m, h, w)")
    count, height, width = masks.shape
    # a zero after each mask, so that none runs into the next
    flat = np.zeros((count, height * width + 1), np.int8)
    flat[:, :-1] = (masks > 0).transpose(0, 2, 1).reshape(count, height * width)
    steps = np.diff(flat.ravel(), prepend=np.int8(0))
    start, end = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    mask = start // flat.shape[1]
    first = mask * flat.shape[1]
    return _cut((height, width), count, Runs(mask, start - first, end - first))


def runs_of(masks: Sequence[Rle], pixels: int) -> Runs:
    """The runs of ones of masks whose images have this many pixels."""
    mask, counts = _counts(masks)
    ends = np.cumsum(counts)
    firsts = np.searchsorted(mask, np.arange(len(masks)))
    before = np.concatenate([[0], ends])[firsts]
    totals = np.bincount(mask, counts, len(masks)).astype(np.int64)
    wrong = np.flatnonzero((totals != pixels) | (np.bincount(mask, counts < 0, len(masks)) > 0))
    if len(wrong):
        raise ValueError(
            f"{len(wrong)} of {len(masks)} masks have counts that do not add up to the {pixels} "
            f"pixels of their size, mask {wrong[0]} has {totals[wrong[0]]}: encode them again"
        )
    ends -= before[mask]
    ones = ((np.arange(len(counts)) - firsts[mask]) % 2 == 1) & (counts > 0)
    return Runs(mask[ones], (ends - counts)[ones], ends[ones])


def _counts(masks: Sequence[Rle]) -> tuple[ndarray, ndarray]:
    """(mask, count) of every run of all masks, int64 (k,) each, zeros and ones in turn."""
    texts = [mask["counts"] for mask in masks]
    if isinstance(texts[0], list):
        lengths = np.array(list(map(len, texts)))
        return np.repeat(np.arange(len(texts)), lengths), np.concatenate(texts).astype(np.int64)
    data = [text.encode("ascii", "replace") if isinstance(text, str) else text for text in texts]
    codes = np.frombuffer(b"".join(data), np.uint8).astype(np.int64) - FIRST
    if len(codes) and (codes.min() < 0 or codes.max() > 0x3F):
        raise ValueError("counts of a mask have characters that are none of run lengths")
    last = codes & MORE == 0
    stops = np.flatnonzero(last)
    starts = np.concatenate([[-1], stops])[:-1] + 1
    owner = np.repeat(np.arange(len(data)), list(map(len, data)))
    ragged = len(codes) > 0 and not last[-1]
    if ragged or (owner[starts] != owner[stops]).any() or (stops - starts).max(initial=0) > LONGEST:
        raise ValueError("counts of a mask end amid a number, or have one that no image is as wide")
    mask = owner[stops]
    return mask, _undone(mask, _values(codes, starts, stops))


def _values(codes: ndarray, starts: ndarray, stops: ndarray) -> ndarray:
    """Numbers of 5 bits per code, lowest first, the last code's highest bit being the sign."""
    place = np.arange(len(codes)) - np.repeat(starts, stops - starts + 1)
    if not len(codes):
        return codes
    values = np.add.reduceat((codes & BITS) << 5 * place, starts)
    negative = codes[stops] & SIGN > 0
    return values - (negative.astype(np.int64) << 5 * (stops - starts + 1))


def _undone(mask: ndarray, values: ndarray) -> ndarray:
    """Counts of numbers that from a mask's fourth on are differences to the count two before."""
    place = np.arange(len(mask)) - np.searchsorted(mask, mask)
    counts = values.copy()
    for odd in (0, 1):
        chosen = np.flatnonzero((place % 2 == odd) & (place > 0))
        sums = np.cumsum(values[chosen])
        head = place[chosen] <= 2
        # what the masks before have summed up, from a chain's first on
        before = (sums - values[chosen])[head]
        counts[chosen] = sums - before[np.cumsum(head) - 1]
    return counts


def _size(masks: Sequence[Rle]) -> tuple[int, int]:
    sizes = {tuple(mask["size"]) for mask in masks}
    if len(sizes) > 1:
        listed = ", ".join(f"{height} x {width}" for height, width in sorted(sizes)[:5])
        raise ValueError(f"masks of one image are of {len(sizes)} sizes ({listed}): give one")
    [(height, width)] = sizes
    return int(height), int(width)


def _cut(size: tuple[int, int], count: int, runs: Runs) -> Crops:
    """The crops of runs."""
    boxes, areas = _boxes(size, count, runs), np.zeros(count, np.int64)
    np.add.at(areas, runs.mask, runs.end - runs.start)
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    ends = np.cumsum(widths * heights)
    firsts = ends - widths * heights
    # a run that goes on in the next column fills the height of the image, so columns are whole
    column, row = runs.start // max(1, size[0]), runs.start % max(1, size[0])
    x, y, _, _ = boxes.T
    mask = runs.mask
    start = firsts[mask] + (column - x[mask]) * heights[mask] + row - y[mask]
    steps = np.zeros(int(widths @ heights) + 1, np.int8)
    steps[start] += 1
    steps[start + runs.end - runs.start] -= 1
    flat = np.cumsum(steps, dtype=np.int8).view(bool)
    shapes = zip(firsts.tolist(), ends.tolist(), widths.tolist(), heights.tolist(), strict=True)
    pixels = [flat[first:end].reshape(shape) for first, end, *shape in shapes]
    return Crops(size, boxes, areas, pixels)


def _boxes(size: tuple[int, int], count: int, runs: Runs) -> ndarray:
    """int64 (count, 4): x1 y1 x2 y2 of the pixels of each mask."""
    height = max(1, size[0])
    left, right = runs.start // height, (runs.end - 1) // height
    top = np.where(left == right, runs.start % height, 0)
    bottom = np.where(left == right, (runs.end - 1) % height, height - 1)
    boxes = np.zeros((count, 4), np.int64)
    if len(runs.mask):
        there, first = np.unique(runs.mask, return_index=True)
        # a mask's runs are in order: the first starts leftmost, the last ends rightmost
        boxes[there, 0] = np.minimum.reduceat(left, first)
        boxes[there, 1] = np.minimum.reduceat(top, first)
        boxes[there, 2] = np.maximum.reduceat(right, first) + 1
        boxes[there, 3] = np.maximum.reduceat(bottom, first) + 1
    return boxes
