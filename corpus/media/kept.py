"""An image with its aspect kept, as JPEG: what is stored of images whose objects have places."""

from io import BytesIO

import numpy as np
from PIL import Image

from corpus.media.images import checked_image
from corpus.media.squares import LEAST, QUALITY


def stored_sides(width: int, height: int, size: int) -> tuple[int, int]:
    """Width and height that an image is stored with: the longer at most `size`, never enlarged."""
    longer = max(width, height)
    if longer <= size:
        return width, height
    shorter = (2 * min(width, height) * size + longer) // (2 * longer)
    shorter = max(1, shorter)
    return (size, shorter) if width >= height else (shorter, size)


def kept_picture(data: bytes, size: int) -> tuple[bytes, np.ndarray, tuple[int, int]]:
    """(the JPEG that the stage corpus keeps of an image, pixels, width and height of the original).

    The very same bytes if they are a JPEG of no more than `size` pixels a side. pixels: uint8
    (h, w, 3), reduced where the image is larger than need be; those that a square of it would be
    made of, and a fingerprint. Raises BadImage.
    """
    picture = checked_image(data, max(2 * size, LEAST))
    sides = picture.width, picture.height
    stored = stored_sides(*sides, size)
    if picture.plain and stored == sides:
        return data, picture.pixels, sides
    image = Image.fromarray(picture.pixels)
    if image.size != stored:
        image = image.resize(stored, Image.Resampling.LANCZOS, reducing_gap=3.0)
    out = BytesIO()
    image.save(out, "JPEG", quality=QUALITY, subsampling=0)
    return out.getvalue(), picture.pixels, sides


def centre(pixels: np.ndarray, size: int) -> np.ndarray:
    """The centre square of RGB pixels (h, w, 3), size x size; themselves where they are that."""
    height, width, _ = pixels.shape
    if (height, width) == (size, size):
        return pixels
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    square = Image.fromarray(pixels).resize((size, size), Image.Resampling.LANCZOS, box=box)
    return np.asarray(square)
