"""What was found, drawn on the images: boxes with class and score, masks, maps, as JPEG files."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from corpus.media.images import checked_image
from corpus.media.runs import decoded, nearest
from corpus.names import printable
from corpus.sources.unlabelled import NamedImage
from flows.predicting.sceneresults import Row, map_name, rows_of
from flows.predicting.scenes import map_of
from models.blocks.detection.scene import UNKNOWN

if TYPE_CHECKING:
    import pyarrow as pa

LARGEST = 1600  # px of the longer side of a drawing
SMALLEST = 480  # px that it has at the least
OPACITY = 0.5  # of what is drawn over an image
QUALITY = 90
LETTERS = 32  # of a name
# after Wong 2011, "Points of view: Color blindness"
COLOURS = np.array(
    [
        (0, 114, 178),
        (213, 94, 0),
        (0, 158, 115),
        (204, 121, 167),
        (230, 159, 0),
        (86, 180, 233),
    ],
    np.uint8,
)


def draw_images(
    folder: Path,
    batches: Iterable["pa.RecordBatch"],
    images: Iterable[NamedImage],
    names: Sequence[str],
) -> None:
    """Write a drawing of each good image into a folder, in which other files stay.

    images: all that were looked at, in their order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for (number, row), image in zip(rows_of(batches), images, strict=True):
        if row["error"] is None:
            pixels = checked_image(image.read(), LARGEST).pixels
            file = folder / f"{map_name(number, row['image'])}.jpg"
            drawing(pixels, row, names).save(file, "JPEG", quality=QUALITY)


def drawing(pixels: np.ndarray, row: Row, names: Sequence[str]) -> Image.Image:
    """What a row tells of an image, on it: uint8 (h, w, 3), which may be smaller than it came."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((LARGEST, LARGEST))
    # names would hide a small image
    larger = -(-SMALLEST // max(picture.size))
    picture = picture.resize((picture.width * larger, picture.height * larger))
    shown = np.array(picture)
    for column in ("classes", "segments"):
        if row[column] is not None:
            _blend_map(shown, map_of(row[column]), column)
            break
    else:
        # the surest last, so that nothing hides it
        for place in reversed(range(len(row["masks"] or ()))):
            mask = decoded(row["masks"][place].encode(), row["height"], row["width"])
            _blend(shown, _resized(mask, shown), COLOURS[row["labels"][place] % len(COLOURS)])
    picture = Image.fromarray(shown)
    _draw_boxes(picture, row, names)
    return picture


def _resized(found: np.ndarray, shown: np.ndarray) -> np.ndarray:
    taken = nearest(*found.shape, shown.shape[:2])
    return found[taken.rows][:, taken.columns]


def _blend(shown: np.ndarray, where: np.ndarray, colour: np.ndarray) -> None:
    mixed = (1 - OPACITY) * shown[where] + OPACITY * colour
    shown[where] = mixed.astype(np.uint8)


def _blend_map(shown: np.ndarray, found: np.ndarray, column: str) -> None:
    """A colour for each number; what is of no class or segment stays as it is."""
    numbers = _resized(found, shown)
    none = UNKNOWN if column == "classes" else 0
    # rounds of the palette are told apart by how dark they are
    darker = 1 - 0.3 * ((numbers // len(COLOURS)) % 3)
    colours = COLOURS[numbers % len(COLOURS)] * darker[..., None]
    where = numbers != none
    _blend(shown, where, colours[where])


def _draw_boxes(picture: Image.Image, row: Row, names: Sequence[str]) -> None:
    pen, line = ImageDraw.Draw(picture), max(1, picture.width // 320)
    font = ImageFont.load_default(max(10, picture.width // 50))
    factors = np.tile([picture.width / row["width"], picture.height / row["height"]], 2)
    boxes = np.asarray(row["boxes"] or [], float).reshape(-1, 4) * factors
    for place in reversed(range(len(boxes))):
        label = row["labels"][place]
        colour = tuple(COLOURS[label % len(COLOURS)].tolist())
        # a box of no area is a line
        pen.rectangle(boxes[place].round().tolist(), outline=colour, width=line)
        told = f"{printable(names[label])[:LETTERS]} {row['scores'][place]:.2f}"
        left, top = boxes[place, :2].tolist()
        frame = pen.textbbox((left + line, top + line), told, font=font)
        pen.rectangle(frame, fill=colour)
        pen.text((left + line, top + line), told, fill="white", font=font)
