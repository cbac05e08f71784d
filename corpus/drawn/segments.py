"""A drawn scene whose every pixel is of one known segment: ground in regions, shapes over it.

Painter's order: what is drawn later hides what is below, and each pixel is of whatever its centre
is in, so that the masks are exact. Pixels are the same on every x86-64 machine, as those of
corpus/drawn/painting.py.
"""

import io
from bisect import bisect
from typing import NamedTuple

import numpy as np
from PIL import Image

from corpus.drawn.concepts import COLOURS, SHAPES, TEXTURES
from corpus.drawn.painting import INSIDE, MARKED, RGB, turn
from corpus.sources.users import between, zipf

ASPECTS = ((4, 3), (3, 4), (1, 1), (2, 1), (3, 2), (2, 5))  # width to height
STUFF = {  # colours of a region and of its marks
    "sky": ((138, 192, 240), (196, 220, 244)),
    "water": ((40, 104, 168), (96, 160, 206)),
    "grass": ((104, 166, 62), (70, 128, 48)),
    "sand": ((226, 200, 142), (192, 160, 104)),
}
LEAST = 8  # px that an object shows at least; one of fewer is no segment, its pixels are void
EMPTY, CROWDED = 0.15, 0.25  # of the images: of no object; of a crowd, of the others


class Segment(NamedTuple):
    """What the s-th segment of a scene is; thing: countable, or stuff."""

    label: str
    thing: bool
    crowd: bool = False


class Drawn(NamedTuple):
    """A scene: a JPEG, and int32 (h, w) with s + 1 at the pixels of its s-th segment, 0: void."""

    image: bytes
    numbers: np.ndarray
    segments: list[Segment]


class Canvas:
    """Pixels float64 (h, w, 3) of 0..255, and which segment each is of."""

    def __init__(self, width: int, height: int):
        self.pixels = np.zeros((height, width, 3))
        self.numbers = np.zeros((height, width), np.int32)
        self.segments: list[Segment] = []
        self.x, self.y = np.arange(width)[None] + 0.5, np.arange(height)[:, None] + 0.5

    def segment(self, segment: Segment) -> int:
        """The number of a further segment."""
        self.segments.append(segment)
        return len(self.segments)

    def fill(self, number: int, where: np.ndarray, marked: np.ndarray, colours: np.ndarray) -> None:
        """Paints the pixels `where`, bool (h, w), those that are `marked` in the second colour."""
        self.pixels[where & ~marked], self.pixels[where & marked] = colours
        self.numbers[where] = number


def _paint_ground(rng: np.random.Generator, canvas: Canvas) -> None:
    """Two or three regions, one above the other, with jagged borders."""
    height, width = canvas.numbers.shape
    ground = ["sky", *(["water"] if rng.random() < 0.5 else []), zipf(rng, ["grass", "sand"], 1)]
    specks, level = rng.random((height, width)), 0.0
    for place, label in enumerate(ground):
        colours = np.array(STUFF[label], float) * between(rng, 0.85, 1.1)
        phase, teeth = rng.random(), between(rng, 1, 4)
        jagged = abs((canvas.x / width * teeth + phase) % 1 - 0.5)
        border = (level + 0.12 * jagged) * height if place else -1.0
        below = np.broadcast_to(canvas.y > border, (height, width))
        canvas.fill(canvas.segment(Segment(label, thing=False)), below, specks < 0.2, colours)
        level += between(rng, 0.25, 0.4)


def _paint(
    rng: np.random.Generator, canvas: Canvas, number: int, shape: str, place: tuple[float, ...]
) -> None:
    """One shape at `place`: x, y and radius in px."""
    x, y, radius = place
    cos, sin = turn(between(rng, -0.6, 0.6))
    texture, colour = zipf(rng, list(TEXTURES), 2), zipf(rng, list(COLOURS), 3)
    stripes, phase = between(rng, 2.3, 3.2), rng.random()
    column, row = (canvas.x - x) / radius, (canvas.y - y) / radius
    u, v = cos * column + sin * row, cos * row - sin * column
    offset = 0 if texture == "ringed" else phase
    marked = MARKED[texture](u * stripes + offset, v * stripes + offset)
    base = np.array(RGB[colour], float) + (rng.random(3) - 0.5) * 40
    canvas.fill(number, INSIDE[shape](u, v), marked, np.stack([base, base * 0.3]))


def _paint_things(rng: np.random.Generator, canvas: Canvas) -> None:
    """One to seven shapes that may hide each other, and perhaps a crowd of small ones before."""
    height, width = canvas.numbers.shape
    short = min(height, width)
    if rng.random() < CROWDED:
        shape = zipf(rng, list(SHAPES), 2)
        number = canvas.segment(Segment(shape, thing=True, crowd=True))
        x, y = between(rng, 0.2, 0.8) * width, between(rng, 0.3, 0.7) * height
        for _ in range(int(rng.integers(5, 10))):
            at = x + between(rng, -0.25, 0.25) * short, y + between(rng, -0.15, 0.15) * short
            _paint(rng, canvas, number, shape, (*at, short * between(rng, 0.06, 0.09)))
    for _ in range(1 + bisect((0.2, 0.4, 0.6, 0.75, 0.87, 0.95), rng.random())):
        shape = zipf(rng, list(SHAPES), 2)
        number = canvas.segment(Segment(shape, thing=True))
        at = rng.random() * width, rng.random() * height
        _paint(rng, canvas, number, shape, (*at, short * between(rng, 0.1, 0.35)))


def _shown(canvas: Canvas) -> tuple[np.ndarray, list[Segment]]:
    """Numbers and segments without those that hardly show: their pixels are void."""
    seen = np.bincount(canvas.numbers.ravel(), minlength=len(canvas.segments) + 1)[1:]
    kept = np.flatnonzero(seen >= LEAST)
    renumbered = np.zeros(len(canvas.segments) + 1, np.int32)
    renumbered[kept + 1] = np.arange(1, len(kept) + 1)
    return renumbered[canvas.numbers], [canvas.segments[place] for place in kept.tolist()]


def draw_scene(rng: np.random.Generator, size: int) -> Drawn:
    """A scene whose longer side has `size` px."""
    across, down = ASPECTS[int(rng.integers(len(ASPECTS)))]
    longer = max(across, down)
    canvas = Canvas(size * across // longer, size * down // longer)
    _paint_ground(rng, canvas)
    if rng.random() >= EMPTY:
        _paint_things(rng, canvas)
    numbers, segments = _shown(canvas)
    grain = rng.integers(-64, 65, canvas.pixels.shape) * between(rng, 0.03, 0.15)
    pixels = canvas.pixels * between(rng, 0.85, 1.05) + between(rng, -10, 10) + grain
    buffer = io.BytesIO()
    image = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
    image.save(buffer, "JPEG", quality=92, subsampling=0)
    return Drawn(buffer.getvalue(), numbers, segments)
