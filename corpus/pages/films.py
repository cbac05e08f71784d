"""Videos on a page: a few of their frames side by side."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image

from corpus.media.decoding import decode

COUNT, HEIGHT = 4, 96  # frames of a strip, px of each
GAP = 2  # px between them
QUALITY = 80


class Film(bytes):
    """A JPEG of some frames of a video from left to right."""


def film(data: bytes, ends: np.ndarray, count: int = COUNT, height: int = HEIGHT) -> Film:
    """Frames of a video evenly from its first to its last, side by side.

    data: its JPEG frames one after the other. ends: where each slot's frame ends in them, int (n,).
    """
    slots = np.unique(np.linspace(0, len(ends) - 1, count).round().astype(np.int64))
    distinct = np.unique(ends)
    frames = []
    for end in ends[slots].tolist():
        place = int(np.searchsorted(distinct, end))
        start = int(distinct[place - 1]) if place else 0
        frames.append(_small(decode(data[start:end]), height))
    out = BytesIO()
    Image.fromarray(_beside(frames)).save(out, "JPEG", quality=QUALITY)
    return Film(out.getvalue())


def _small(pixels: np.ndarray, height: int) -> np.ndarray:
    if len(pixels) <= height:
        return pixels
    width = max(1, round(pixels.shape[1] * height / len(pixels)))
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX))


def _beside(frames: Sequence[np.ndarray]) -> np.ndarray:
    """Frames of one height in a row, with white between them."""
    gap = np.full((len(frames[0]), GAP, 3), 255, np.uint8)
    parts = [frames[0]]
    for frame in frames[1:]:
        parts += [gap, frame]
    return np.concatenate(parts, 1)
