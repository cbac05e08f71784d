"""What is kept of each image that a network finds objects, or classes of pixels, in.

Maps are kept as the PNGs that are written in the end: of classes one byte a pixel, its class, 255
where none is told; of segments COCO's, whose number is red + 256 green + 65,536 blue.
"""

from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from engine.inference.fitting import Fitting
from engine.inference.scenes import Answer, Picture, ScenePredictor

LEAST = 0.5  # score of an object, where nobody says which
NUMBERS, REALS, TEXTS = (pa.list_(each) for each in (pa.int32(), pa.float32(), pa.string()))
FIELDS: dict[str, pa.DataType] = {
    "width": pa.int32(),
    "height": pa.int32(),
    "boxes": REALS,  # four of each object: x1, y1, x2, y2
    "labels": NUMBERS,
    "scores": REALS,
    "masks": TEXTS,  # none where the network tells no masks
    "classes": pa.binary(),
    "segments": pa.binary(),
    "segment_labels": NUMBERS,
    "segment_things": pa.list_(pa.bool_()),
}


def found_columns(
    predictor: ScenePredictor,
    fitting: Fitting,
    pictures: list[Picture],
    threshold: float,
    bad: np.ndarray,
) -> dict[str, pa.Array]:
    """The columns of FIELDS: of all images, empty at the bad ones."""

    def of_pictures(some: list[Picture]) -> tuple[list[dict[str, Any]]]:
        # told at once: masks of a thousand images would fill the memory
        answers = predictor.found(some, threshold)
        return (list(map(_told, answers, some)),)

    rows = fitting(of_pictures, pictures)[0] if pictures else []
    found = iter(rows)
    every = [None if wrong else next(found) for wrong in bad.tolist()]
    empty = dict.fromkeys(FIELDS)
    columns = {}
    for name, kind in FIELDS.items():
        columns[name] = pa.array([(row or empty)[name] for row in every], kind)
    return columns


def _told(answer: Answer, picture: Picture) -> dict[str, Any]:
    classes = segments = None
    if answer.classes is not None:
        classes = _png(answer.classes.astype(np.uint8))
    if answer.segments is not None:
        numbers = answer.segments.astype(np.int32)
        segments = _png(np.stack([numbers >> shift & 255 for shift in (0, 8, 16)], 2))
    return {
        "width": picture.sides[0],
        "height": picture.sides[1],
        "boxes": answer.boxes.ravel(),
        "labels": answer.labels,
        "scores": answer.scores,
        "masks": answer.masks,
        "classes": classes,
        "segments": segments,
        "segment_labels": answer.segment_labels,
        "segment_things": answer.segment_things,
    }


def _png(pixels: np.ndarray) -> bytes:
    out = BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def map_of(png: bytes) -> np.ndarray:
    """int32 (h, w): the numbers of a kept map."""
    pixels = np.asarray(Image.open(BytesIO(png), formats=("PNG",))).astype(np.int32)
    if pixels.ndim == 2:
        return pixels
    return pixels[..., 0] + (pixels[..., 1] << 8) + (pixels[..., 2] << 16)
