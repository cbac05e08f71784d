"""Masks as run lengths, compressed as pycocotools has them (common/maskApi.c, rleFrString).

Pixels are counted column by column, the first run is of background. Here because pycocotools reads
past its memory where a string is damaged; and numpy is several times as fast.
"""

from typing import NamedTuple

import numpy as np

LONGEST = 7  # characters of a run: 2^35 pixels
FIRST, MORE, SIGN, BITS = 48, 0x20, 0x10, 5  # of a character: code of zero, flags, bits of a number


class Taken(NamedTuple):
    """Which row and column of an image each row and column of a smaller one is: int64 each."""

    rows: np.ndarray
    columns: np.ndarray


def run_lengths(counts: bytes) -> np.ndarray:
    """int64 (runs,), background and mask in turn; ValueError where the string is damaged."""
    codes = np.frombuffer(counts, np.uint8).astype(np.int64) - FIRST
    if not len(codes) or codes.min() < 0 or codes.max() >= 2 * MORE or codes[-1] & MORE:
        raise ValueError("run lengths that cannot be read")
    ends = np.flatnonzero(codes & MORE == 0)
    lengths = np.diff(ends, prepend=-1)
    if lengths.max() > LONGEST:
        raise ValueError("run lengths that cannot be read")
    starts = ends - lengths + 1
    shifts = BITS * (np.arange(len(codes)) - np.repeat(starts, lengths))
    runs = np.add.reduceat((codes & (MORE - 1)) << shifts, starts)
    runs -= (codes[ends] & SIGN != 0).astype(np.int64) << (BITS * lengths)
    # from the fourth run on a run is stored as its difference to the last but one
    runs[1::2], runs[2::2] = np.cumsum(runs[1::2]), np.cumsum(runs[2::2])
    return runs


def runs_of(counts: bytes, height: int, width: int) -> np.ndarray:
    """The run lengths of a mask of this size; ValueError for damaged ones, and of another size."""
    runs = run_lengths(counts)
    there = int(runs.sum())
    if there != height * width or runs.min() < 0:
        raise ValueError(f"run lengths of {there:,} px, and not of the image's {width} x {height}")
    return runs


def filled_columns(counts: bytes, height: int, width: int) -> tuple[slice, np.ndarray]:
    """(the columns from the first to the last that a mask has a pixel in, bool (columns, height)).

    ValueError as `runs_of`.
    """
    runs = runs_of(counts, height, width)
    if len(runs) < 2:
        return slice(0, 0), np.zeros((0, height), bool)
    # what comes before the first such column and after the last is never written out
    last = int(runs.sum()) - (int(runs[-1]) if len(runs) % 2 else 0)
    begin, end = int(runs[0]) // height, -(-last // height)
    shown = np.append(runs[: len(runs) // 2 * 2], end * height - last)
    shown[0] -= begin * height
    inside = np.arange(len(shown)) % 2 == 1
    return slice(begin, end), np.repeat(inside, shown).reshape(end - begin, height)


def decode_into(mask: np.ndarray, counts: bytes) -> None:
    """Sets the pixels of a mask in bool (height, width) of False; ValueError as `runs_of`."""
    columns, filled = filled_columns(counts, *mask.shape)
    mask[:, columns] = filled.T


def decoded(counts: bytes, height: int, width: int) -> np.ndarray:
    """bool (height, width); ValueError as `runs_of`."""
    mask = np.zeros((height, width), bool)
    decode_into(mask, counts)
    return mask


def sampled(counts: bytes, height: int, width: int, taken: Taken) -> np.ndarray:
    """The pixels of a mask that are `taken`, bool (rows, columns), column by column in memory."""
    columns, filled = filled_columns(counts, height, width)
    begin, end = np.searchsorted(taken.columns, [columns.start, columns.stop])
    smaller = np.zeros((len(taken.columns), len(taken.rows)), bool)
    smaller[begin:end] = filled[taken.columns[begin:end] - columns.start][:, taken.rows]
    return smaller.T


def nearest(height: int, width: int, into: tuple[int, int]) -> Taken:
    """The pixels of an image that a smaller one of `into` (height, width) has: nearest neighbours.

    A pixel's centre lies in the pixel that it is taken from.
    """
    rows, columns = (
        (2 * np.arange(few) + 1) * many // (2 * few)
        for few, many in zip(into, (height, width), strict=True)
    )
    return Taken(rows, columns)
