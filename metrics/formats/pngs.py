"""PNGs that are maps: decoded exactly as they were written, or refused."""

import os
import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

MAX_PIXELS = 50_000_000  # as of every image (corpus/media/images.py)
MAGIC = b"\x89PNG\r\n\x1a\n"
HEADER = 33  # bytes, with the first chunk: width and height from 16 on
DEPTH = 24  # the place in a PNG of the bits of a number
COLOURS = ("RGB", "RGBA")
# modes of Pillow of maps whose pixels are one number
ONE = {"P": np.uint8, "L": np.uint8, "1": np.uint8, "I;16": np.uint16, "I": np.int32}
THREADS = 4  # more only wait for each other


def threads() -> int:
    """Threads that decode: one per processor that this process may use, at most 4."""
    return min(THREADS, len(os.sched_getaffinity(0)))


def decoded_ids(file: Path) -> Tensor:
    """ids of a map, int32 (h, w): red + 256 green + 256^2 blue; ValueError where it has others.

    Their highest byte is 255, as Pillow has it.
    """
    image, depth = _opened(file)
    if image.mode not in COLOURS or depth != 8:
        raise ValueError(
            f"{file} is a PNG of {_kind(image, depth)}, and ids of segments are colours of 8 bits, "
            "red + 256 green + 256^2 blue: write it as RGB"
        )
    _load(image, file)
    return _packed(image)


def decoded_labels(file: Path) -> Tensor:
    """The class of each pixel, uint8 or int32 (h, w), of a palette (its index) or of grey."""
    image, depth = _opened(file)
    if image.mode not in ONE:
        raise ValueError(
            f"{file} is a PNG of {_kind(image, depth)}, and a map of classes has one number per "
            "pixel: write it as grey of 8 or 16 bits, or with a palette"
        )
    _load(image, file)
    found = np.array(image, ONE[image.mode])
    return torch.from_numpy(found if found.dtype == np.uint8 else found.astype(np.int32))


def _opened(file: Path) -> tuple[Image.Image, int]:
    """(the image, not yet decoded, bits of a number)."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror}): every map is a PNG") from None
    if not data.startswith(MAGIC) or len(data) < HEADER:
        raise ValueError(f"{file} is no PNG, {len(data)} bytes: every map is one")
    width, height = struct.unpack(">II", data[16:24])
    # before Pillow, which has bounds of its own
    if not 0 < width * height <= MAX_PIXELS:
        raise ValueError(f"{file}: {width} x {height} pixels, allowed are 1 to {MAX_PIXELS:,}")
    try:
        return Image.open(BytesIO(data), formats=("PNG",)), data[DEPTH]
    # Pillow raises a dozen kinds, SyntaxError and struct.error among them
    except Exception as error:
        raise ValueError(f"{file} is no PNG that can be read: {_told(error)}") from None


def _load(image: Image.Image, file: Path) -> None:
    try:
        image.load()
    except Exception as error:
        raise ValueError(f"{file} cannot be decoded: {_told(error)}; copy it again") from None


def _told(error: Exception) -> str:
    # of an image in memory Pillow tells the address
    return str(error).partition(" <_io")[0]


def _packed(image: Image.Image) -> Tensor:
    """The pixels as numbers of four bytes, int32 (h, w), red lowest: as Pillow itself holds them.

    That memory is shared: new memory, only to clear the highest byte, takes half as long as to
    decode.
    """
    import pyarrow as pa

    if image.mode != "RGB":
        image = image.convert("RGB")
    try:
        held = pa.array(image).values.buffers()[1]
    # an image of several blocks of memory
    except ValueError:
        held = pa.py_buffer(image.tobytes("raw", "RGBX"))
    pixels = pa.Array.from_buffers(pa.int32(), len(held) // 4, [None, held])
    return torch.from_dlpack(pixels).view(image.size[::-1])


def _kind(image: Image.Image, depth: int) -> str:
    names = {"P": "a palette", "RGB": "colours", "RGBA": "colours", "LA": "grey and opacity"}
    return f"{names.get(image.mode, 'grey')} of {depth} bits"
