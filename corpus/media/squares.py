"""The square of an image, as JPEG: what training reads, and what a trained network is given."""

from io import BytesIO

import numpy as np
from PIL import Image

from corpus.media.images import checked_image

LEAST = 64  # pixels that a fingerprint wants


def square(data: bytes, size: int, quality: int = 92) -> bytes:
    """The centre square scaled to size x size as JPEG.

    The very same bytes if they are that already.
    """
    picture = checked_image(data, least=2 * size)
    if picture.plain and (picture.width, picture.height) == (size, size):
        return data
    return squared(picture.pixels, size, quality)


def stored_square(data: bytes, size: int) -> tuple[bytes, np.ndarray]:
    """(the square JPEG that the stage corpus keeps of an image, the pixels that it was made of).

    pixels: uint8 (h, w, 3), reduced where the image is larger than need be. Raises BadImage.
    """
    picture = checked_image(data, max(2 * size, LEAST))
    fits = picture.plain and (picture.width, picture.height) == (size, size)
    return data if fits else squared(picture.pixels, size), picture.pixels


def squared(pixels: np.ndarray, size: int, quality: int = 92) -> bytes:
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
    image.save(out, "JPEG", quality=quality, subsampling=0)
    return out.getvalue()
