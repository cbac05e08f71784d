"""Image bytes of strangers in, RGB pixels out: bounds are checked before decoding; squared for training."""

from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

MAX_PIXELS = 50_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
ORIENTATION = 0x0112


class BadImage(ValueError):
    """These bytes are no image that can be used; the message says why."""


def _open(data: bytes) -> Image.Image:
    """Reads the header only, so that nothing is decoded whose size is out of bounds."""
    image = Image.open(BytesIO(data), formats=FORMATS)
    width, height = image.size
    if not 0 < width * height <= MAX_PIXELS:
        raise BadImage(f"{width} x {height} pixels, allowed are 1 to {MAX_PIXELS:,}")
    return image


def _rgb(image: Image.Image) -> Image.Image:
    """Upright, alpha flattened on white, 16 bits scaled to 8 (Pillow's own conversion would clip them)."""
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F"):
        raise BadImage(f"pixels of mode {image.mode} have no known range; save them with 8 or 16 bits per channel")
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _load(data: bytes, least: int) -> tuple[Image.Image, bool]:
    """(the RGB image, whether the bytes already were an upright RGB JPEG)."""
    try:
        image = _open(data)
        plain = image.format == "JPEG" and image.mode == "RGB" and image.getexif().get(ORIENTATION, 1) == 1
        if least:
            image.draft("RGB" if image.mode == "RGB" else None, (least, least))
        return _rgb(image), plain
    except BadImage:
        raise
    except Exception as error:  # Pillow's decoders raise a dozen kinds, SyntaxError and struct.error among them
        raise BadImage(f"not decodable as {'/'.join(FORMATS)}: {type(error).__name__}: {_brief(error)}") from error


def _brief(error: Exception) -> str:
    return str(error).split("<_io")[0].strip()[:120]  # Pillow prints the address of its buffer


def open_image(data: bytes, least: int = 0) -> Image.Image:
    """Decodes one image, upright RGB; with `least`, a JPEG may come reduced while both sides stay >= `least`.

    Raises BadImage for bytes that are truncated, unknown, empty or of more than MAX_PIXELS.
    """
    return _load(data, least)[0]


def square(data: bytes, size: int, quality: int = 92) -> bytes:
    """The centre square scaled to size x size as JPEG; the very same bytes if they are that already."""
    image, plain = _load(data, least=2 * size)
    if plain and image.size == (size, size):
        return data
    width, height = image.size
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    out = BytesIO()
    image = image.resize((size, size), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    image.save(out, "JPEG", quality=quality, subsampling=0)  # half the colour resolution would show at 32 px
    return out.getvalue()


def decode(data: bytes) -> np.ndarray:
    """uint8 pixels (height, width, 3) of a trusted JPEG: no bounds, no orientation; for the training loop."""
    with Image.open(BytesIO(data), formats=("JPEG",)) as image:
        return np.asarray(image.convert("RGB"))
