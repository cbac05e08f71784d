"""COCO's run lengths as annotation files have them, checked before any library decodes them.

Counts are text, as pycocotools writes it, or plain numbers.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from corpus.media.runs import run_lengths
from corpus.records.objects import Rle


def compressed(counts: Sequence[int], width: int, height: int) -> str:
    """Compressed text of run lengths that cover the image."""
    from pycocotools import mask

    plain = {"size": [height, width], "counts": list(counts)}
    return mask.frPyObjects(plain, height, width)["counts"].decode()


def checked_rle(said: Any, width: int, height: int) -> tuple[Rle, int]:
    """(run lengths of a mask as they are stored, its pixels); ValueError where it fits no image."""
    size, counts = (said.get("size"), said.get("counts")) if isinstance(said, dict) else (0, 0)
    if not isinstance(size, (list, tuple)) or not isinstance(counts, (str, list, bytes)):
        raise ValueError("mask that is neither polygons nor run lengths (size, counts)")
    if list(size) != [height, width]:
        raise ValueError(f"mask of another size: {list(size)[:4]}, the image has {[height, width]}")
    plain = isinstance(counts, list)
    text = counts.decode("ascii", "replace") if isinstance(counts, bytes) else counts
    runs = _plain(counts) if plain else run_lengths(text.encode("ascii", "replace"))
    if not runs.size or runs.min() < 0 or int(runs.sum()) != width * height:
        raise ValueError(f"run lengths that do not cover the {width * height:,} px of the image")
    text = compressed(runs.tolist(), width, height) if plain else text
    plain = plain or bool(said.get("plain"))
    return Rle(size=(height, width), counts=text, plain=plain), int(runs[1::2].sum())


def _plain(counts: list[Any]) -> np.ndarray:
    if not all(type(count) is int and 0 <= count < 1 << 31 for count in counts):
        raise ValueError("run lengths that cannot be read")
    return np.array(counts, np.int64)


def box_of(runs: np.ndarray, height: int) -> tuple[float, float, float, float]:
    """x, y, width, height of the smallest box around a mask that has a pixel."""
    ends = np.cumsum(runs)
    first, last = (ends - runs)[1::2], ends[1::2] - 1
    some = runs[1::2] > 0
    first, last = first[some], last[some]
    x, right = int(first[0] // height), int(last[-1] // height)
    inside = first // height == last // height  # else a run fills a column from top to bottom
    whole = not inside.all()
    y = 0 if whole else int((first % height).min())
    bottom = height - 1 if whole else int((last % height).max())
    return float(x), float(y), float(right - x + 1), float(bottom - y + 1)
