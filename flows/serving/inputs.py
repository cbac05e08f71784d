"""What people hand to a model as images, as a list of things that each are one image, or none.

A text is an image in base64 and never the name of a file: a model that answers requests must not
read what a request names. Files are named by pathlib.Path, which no request can hold, or by texts
to a model that was loaded with model_config={"paths": True}, which no request can say.
"""

import base64
import binascii
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COLUMN, VIDEO = "image", "video"  # of a table, by what the model sees
MOST_BYTES = 100_000_000  # of a file; no picture within MAX_PIXELS is larger in any usual format


def listed(given: Any, column: str = COLUMN) -> list[Any]:
    """The images of an input: of a table, a series, a list, an array, or one alone.

    column: of a table, where they are; it may have another name where it is the only one.

    ValueError for anything else, and for a table that does not say which column holds them.
    """
    if hasattr(given, "columns"):
        return list(given[_column(list(given.columns), column)])
    if isinstance(given, dict):
        return listed(given[_column(list(given), column)])
    if isinstance(given, np.ndarray) and given.ndim == 3:
        return [given]
    if isinstance(given, bytes | bytearray | memoryview | str | Path | Image.Image):
        return [given]
    if hasattr(given, "__iter__"):
        return list(given)
    raise ValueError(
        f"found {type(given).__name__}, expected a table with a column {column!r}, a list of "
        f"{column}s{', or an array (n, h, w, 3)' if column == COLUMN else ''}"
    )


def _column(names: list[Any], column: str) -> Any:
    if column in names:
        return column
    if len(names) == 1:
        return names[0]
    raise ValueError(f"no column {column!r} among {names[:8]}: name the one with the {column}s so")


def image(value: Any, paths: bool) -> bytes | Image.Image | np.ndarray:
    """One image as the predictor takes it; ValueError says why it is none.

    paths: texts name files, instead of being base64.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, Image.Image | np.ndarray):
        return value
    if isinstance(value, Path) or (paths and isinstance(value, str)):
        return _read(Path(value))
    if isinstance(value, str):
        return decoded(value)
    raise ValueError(
        f"no image: found {type(value).__name__}, expected bytes, base64, a pathlib.Path, a PIL "
        "image or an array (h, w, 3) of uint8"
    )


def video(value: Any, paths: bool) -> bytes:
    """The bytes of a video's file; ValueError says why it is none. paths: as of `image`."""
    if isinstance(value, Image.Image | np.ndarray) or not isinstance(
        value, bytes | bytearray | memoryview | str | Path
    ):
        raise ValueError(
            f"no video: found {type(value).__name__}, expected the bytes of a file (mp4, avi, mkv, "
            "webm, GIF), base64 or a pathlib.Path"
        )
    return image(value, paths)


def decoded(text: str) -> bytes:
    """The bytes of base64; ValueError where a letter is none of its own, or some are missing."""
    try:
        return base64.b64decode(text, validate=True)
    # ValueError: letters beyond ASCII
    except (binascii.Error, ValueError):
        raise ValueError("no base64; a text is never the name of a file here") from None


def _read(path: Path) -> bytes:
    try:
        if not path.is_file():  # a pipe or a device might never end
            raise ValueError(f"no file: {path}")
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"file of more than {MOST_BYTES:,} bytes: {path}")
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"not readable: {path}: {error.strerror}") from None
