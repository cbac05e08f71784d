"""Image bytes of strangers in, RGB pixels out: bounds are checked before decoding.

JPEGs are decoded by libjpeg-turbo through simplejpeg (exact IDCT, smooth upsampling: Pillow's
pixels, bit for bit), all else by Pillow. Of an animation the first frame counts; colour profiles
and text are ignored, whatever their size.
"""

from io import BytesIO
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError
from simplejpeg import decode_jpeg, decode_jpeg_header

from corpus.media.faults import BadFile
from corpus.media.jpegfaults import MAX_SCANS, jpeg_fault, scans
from corpus.media.pngtext import without_text

MAX_PIXELS = 50_000_000
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
KINDS = (
    "empty",
    "unknown format",
    "truncated",
    "damaged",
    "too many pixels",
    "too many scans",
    "unsupported pixels",
)
MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"II*\0", b"MM\0*")
ORIENTATION = 0x0112
TURN = Image.Transpose
TURNS = {2: TURN.FLIP_LEFT_RIGHT, 3: TURN.ROTATE_180, 4: TURN.FLIP_TOP_BOTTOM}
# from 5 on width and height change places
TURNS |= {5: TURN.TRANSPOSE, 6: TURN.ROTATE_270, 7: TURN.TRANSVERSE, 8: TURN.ROTATE_90}


class BadImage(BadFile):
    """No image that can be used; its kind is one of KINDS."""

    kinds = KINDS


class DecodedImage(NamedTuple):
    """Upright RGB pixels, uint8 (h, w, 3); size (upright) and format of the bytes.

    `plain`: an upright RGB JPEG.
    """

    pixels: np.ndarray
    width: int
    height: int
    format: str
    plain: bool


def checked_image(data: bytes, least: int = 0) -> DecodedImage:
    """Decodes one image whole.

    With `least`, a JPEG comes reduced to 1/2, 1/4 or 1/8 while both sides stay >= `least`. Raises
    BadImage for bytes that are empty, no image, truncated, damaged or out of bounds.
    """
    if not data:
        raise BadImage("empty", "not decodable, 0 bytes")
    picture = _jpeg(data, least) if data.startswith(MAGIC[0]) else None
    if picture:
        return picture
    try:
        return _other(data, least)
    except BadImage:
        raise
    # Pillow's decoders raise a dozen kinds, SyntaxError and struct.error among them
    except Exception as error:
        raise BadImage(*_reason(data, error)) from error


def _bounded(width: int, height: int) -> None:
    if not 0 < width * height <= MAX_PIXELS:
        raise BadImage(
            "too many pixels", f"{width} x {height} pixels, allowed are 1 to {MAX_PIXELS:,}"
        )


def _reduction(width: int, height: int, least: int) -> int:
    return next(by for by in (8, 4, 2, 1) if by == 1 or min(width, height) >= by * least > 0)


def _orientation(image: Image.Image) -> int:
    try:
        return image.getexif().get(ORIENTATION, 1)
    # broken EXIF says nothing about the pixels; it raises as many kinds as broken pixels
    except Exception:
        return 1


def _jpeg(data: bytes, least: int) -> DecodedImage | None:
    """A JPEG in colours or grey; None where Pillow is to judge.

    That is CMYK, and what libjpeg-turbo says of a header.
    """
    try:
        height, width, space, _ = decode_jpeg_header(data)
    except ValueError:
        return None
    _bounded(width, height)
    count = scans(data)
    if count > MAX_SCANS:
        raise BadImage("too many scans", f"{count} scans in one JPEG, allowed are {MAX_SCANS}")
    if space not in ("YCbCr", "RGB", "Gray"):
        return None
    by = _reduction(width, height, least)
    try:
        pixels = decode_jpeg(data, min_height=-(-height // by), min_width=-(-width // by))
    except ValueError as error:
        kind = jpeg_fault(str(error), data)
        if kind:
            raise BadImage(kind, f"not decodable as JPEG: {error}") from None
        return None
    turn = 1
    header = data[: data.find(b"\xff\xda")]  # or up to the thumbnail that EXIF holds
    if b"Exif\0\0" in header or b"tiff:Orientation" in header:  # XMP may hold it too
        turn = _orientation(Image.open(BytesIO(data), formats=("JPEG",)))
    if turn in TURNS:
        pixels = np.asarray(Image.fromarray(pixels).transpose(TURNS[turn]))
        width, height = (height, width) if turn >= 5 else (width, height)
    return DecodedImage(pixels, width, height, "JPEG", plain=turn not in TURNS and space != "Gray")


def _other(data: bytes, least: int) -> DecodedImage:
    """What Pillow decodes; a PNG whose text or profile it refuses is read without them."""
    try:
        return _pillow(data, least)
    except BadImage:
        raise
    except Exception as error:
        last = error
    for lean in without_text(data):
        try:
            return _pillow(lean, least)
        except Exception as error:
            last = error  # what is left to blame the less there is to read
    raise last


def _pillow(data: bytes, least: int) -> DecodedImage:
    image = Image.open(BytesIO(data), formats=FORMATS)  # reads the header only
    width, height = image.size
    _bounded(width, height)
    if least:
        by = _reduction(width, height, least)
        mode = "RGB" if image.mode == "RGB" else None
        image.draft(mode, (width // by, height // by))  # JPEGs only
    return _upright(image, width, height)


def _upright(image: Image.Image, width: int, height: int) -> DecodedImage:
    """The whole image, turned as EXIF says; width and height are those before that."""
    image.load()
    turn = _orientation(image)
    kind, rgb = image.format or "", _rgb(image)
    if turn in TURNS:
        rgb = rgb.transpose(TURNS[turn])
        width, height = (height, width) if turn >= 5 else (width, height)
    plain = kind == "JPEG" and image.mode == "RGB" and turn not in TURNS
    return DecodedImage(np.asarray(rgb), width, height, kind, plain)


def opened_image(image: Image.Image) -> DecodedImage:
    """As `checked_image`, of an image that somebody else has opened, or drawn."""
    width, height = image.size
    _bounded(width, height)
    try:
        return _upright(image, width, height)
    except BadImage:
        raise
    except Exception as error:  # Pillow's decoders, as in `checked_image`
        raise BadImage(*_reason(b"", error)) from error


def _rgb(image: Image.Image) -> Image.Image:
    """Alpha flattened on white, 16 bits scaled to 8 (Pillow's own conversion would clip them)."""
    if image.mode in ("I", "F"):
        detail = f"pixels of mode {image.mode} have no known range"
        cure = "save them with 8 or 16 bits per channel"
        raise BadImage("unsupported pixels", f"{detail}; {cure}")
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _reason(data: bytes, error: Exception) -> tuple[str, str]:
    """Kind and detail of what Pillow raised."""
    text = str(error).split("<_io")[0].strip()[:120]  # it prints the address of its buffer
    if isinstance(error, Image.DecompressionBombError):
        return "too many pixels", text
    detail = f"not decodable as {'/'.join(FORMATS)}: {type(error).__name__}: {text}"
    if isinstance(error, UnidentifiedImageError) and not data.startswith(MAGIC):
        return "unknown format", f"{detail} that starts with {data[:12]!r}"
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return "truncated", detail
    return "unsupported pixels" if "conversion from" in text else "damaged", detail
