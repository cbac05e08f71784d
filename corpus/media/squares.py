"""The square of an image, as JPEG: what training reads, and what a trained network is given."""

from io import BytesIO

import numpy as np
from PIL import Image

from corpus.media.images import checked_image

LEAST = 64  # pixels that a fingerprint wants


QUALITY = 92  # of the JPEGs; another makes all squares anew (METHOD of corpus/store/squares.py)


def square(data: bytes, size: int) -> bytes:
    """The centre square scaled to size x size as JPEG.

    The very same bytes if they are that already.
    """
    return _made(data, size, 2 * size)[0]


def stored_square(data: bytes, size: int) -> tuple[bytes, np.ndarray]:
    """(the square JPEG that the stage corpus keeps of an image, the pixels that it was made of).

    pixels: uint8 (h, w, 3), reduced where the image is larger than need be. Raises BadImage.
    """
    return _made(data, size, max(2 * size, LEAST))


def _made(data: bytes, size: int, least: int) -> tuple[bytes, np.ndarray]:
    picture = checked_image(data, least)
    fits = picture.plain and (picture.width, picture.height) == (size, size)
    return data if fits else squared(picture.pixels, size), picture.pixels


def squared(pixels: np.ndarray, size: int) -> bytes:
    """The centre square of RGB pixels (h, w, 3) scaled to size x size as JPEG."""
    height, width, _ = pixels.shape
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    image = Image.fromarray(pixels).resize(
        (size, size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0
    )
    out = BytesIO()
    # without subsampling: half the colour resolution would show at 32 px
    image.save(out, "JPEG", quality=QUALITY, subsampling=0)
    return out.getvalue()
