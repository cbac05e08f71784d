"""The pixels of JPEGs that the corpus stage has checked and written itself: what training reads.

Whatever comes from outside goes through corpus.media.images first.
"""

import numpy as np
from simplejpeg import decode_jpeg, decode_jpeg_header


def decode(data: bytes, out: np.ndarray | None = None) -> np.ndarray:
    """uint8 pixels (h, w, 3) of a trusted RGB JPEG as stored, into `out` if given.

    ValueError for damaged bytes.
    """
    return decode_jpeg(data, buffer=out)


def decode_frames(data: memoryview, starts: list[int], ends: list[int]) -> np.ndarray:
    """uint8 pixels (m, h, w, 3) of m JPEGs of one size, which lie at these places of `data`.

    One that is asked for several times is decoded once. ValueError for damaged bytes, and for
    JPEGs of several sizes.
    """
    height, width, _, _ = decode_jpeg_header(data[starts[0] : ends[0]])
    pixels = np.empty((len(starts), height, width, 3), np.uint8)
    shape, seen = pixels.shape[1:], {}
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if start in seen:
            pixels[place] = pixels[seen[start]]
            continue
        seen[start] = place
        found = decode_jpeg(data[start:end], buffer=pixels[place]).shape
        if found != shape:
            raise ValueError(f"frames of {shape} and {found}")
    return pixels
