"""A drawn scene in pixels: a backdrop, things over it, and what a camera makes of that.

The bytes are the same on every x86-64 machine: pixels see + - * / sqrt and comparisons only
(vectorised sin, exp and pow differ between processors), sines come from `math` rounded to 1/4096,
sums are sums of integers.
"""

import io
import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from corpus.drawn.scenes import Thing
from corpus.sources.users import between

RGB = {
    "red": (214, 40, 44), "blue": (44, 84, 214), "yellow": (240, 214, 52), "green": (52, 168, 74),
    "pink": (244, 132, 190), "white": (240, 240, 236), "orange": (244, 138, 36),
    "purple": (132, 58, 176), "brown": (122, 78, 42),
}  # fmt: skip
BACKDROPS = {  # sky above, sky at the horizon, ground, its marks, height of the horizon
    "beach": ((110, 178, 236), (196, 226, 244), (226, 200, 142), (186, 156, 100), 0.6),
    "city": ((146, 158, 178), (206, 204, 206), (92, 94, 104), (226, 206, 120), 0.55),
    "sea": ((130, 180, 226), (176, 212, 236), (24, 86, 150), (92, 158, 206), 0.25),
    "night": ((24, 28, 74), (62, 58, 122), (34, 36, 58), (236, 236, 210), 0.8),
    "forest": ((56, 112, 72), (112, 160, 96), (78, 92, 52), (82, 54, 34), 0.85),
    "snow": ((170, 184, 204), (210, 218, 230), (236, 240, 246), (252, 252, 255), 0.5),
    "meadow": ((120, 190, 240), (204, 230, 242), (104, 166, 62), (226, 108, 150), 0.45),
    "desert": ((240, 176, 104), (250, 216, 156), (206, 140, 74), (170, 104, 54), 0.4),
}
SUB = 3  # a pixel of an object is 3 x 3 points
Mask = Callable[[np.ndarray, np.ndarray], np.ndarray]


def turn(angle: float) -> tuple[float, float]:
    """Cosine and sine in 1/4096, equal whatever the C library."""
    return round(math.cos(angle) * 4096) / 4096, round(math.sin(angle) * 4096) / 4096


def sides(u: np.ndarray, v: np.ndarray, count: int, apothem: float) -> np.ndarray:
    """How many of the half-planes of a regular polygon a point is in."""
    normals = [turn(2 * math.pi * k / count) for k in range(count)]
    return sum((c * v + s * u < apothem).astype(np.int8) for c, s in normals)


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u, v = 1.25 * u, 0.15 - 1.25 * v
    body = u * u + v * v - 1
    return body * body * body < u * u * v * v * v


INSIDE: dict[str, Mask] = {  # of the unit disc's points (u, v)
    "circle": lambda u, v: u * u + v * v < 0.75,
    "star": lambda u, v: sides(u, -v, 5, 0.36) >= 4,
    "heart": _heart,
    "square": lambda u, v: np.maximum(abs(u), abs(v)) < 0.7,
    "triangle": lambda u, v: sides(u, v, 3, 0.48) == 3,
    "cross": lambda u, v: (np.minimum(abs(u), abs(v)) < 0.3) & (np.maximum(abs(u), abs(v)) < 0.9),
    "moon": lambda u, v: (u * u + v * v < 0.9) & ((u - 0.45) * (u - 0.45) + v * v > 0.5),
    "ring": lambda u, v: abs(u * u + v * v - 0.6) < 0.3,
    "diamond": lambda u, v: abs(u) * 1.8 + abs(v) < 1,
}


def _odd(values: np.ndarray) -> np.ndarray:
    return np.floor(values) % 2 == 1


def _dots(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    u, v = u - np.floor(u) - 0.5, v - np.floor(v) - 0.5
    return u * u + v * v < 0.1


MARKED: dict[str, Mask] = {  # where the second colour is; the unit is a stripe
    "plain": lambda u, v: np.zeros(np.broadcast(u, v).shape, bool),
    "striped": lambda u, v: _odd(u + 0 * v),
    "dotted": lambda u, v: _dots(u / 1.7, v / 1.7),
    "checked": lambda u, v: _odd(u) ^ _odd(v),
    "ringed": lambda u, v: _odd(np.sqrt(u * u + v * v)),
}


def backdrop(rng: np.random.Generator, setting: str, size: int) -> np.ndarray:
    """Sky, ground and the marks of a setting: (size, size, 3) float64 in 0..255."""
    above, low, ground, mark, horizon = (np.array(value, float) for value in BACKDROPS[setting])
    centres = (np.arange(size) + 0.5) / size
    y, x = centres[:, None], centres[None]
    level = horizon + between(rng, -0.12, 0.12)
    phase, specks = rng.random(), rng.random((size, size))
    zigzag = abs((3 * x + phase) % 1 - 0.5)
    if setting == "desert":  # dunes
        level = level - 0.5 * zigzag
    if setting == "city":  # roofs
        level = level - 0.4 * rng.random(12)[(x * 12).astype(int)]
    on_ground = np.broadcast_to(y > level, (size, size))
    marks = {
        "beach": on_ground & (specks < 0.25),
        "city": on_ground & _odd(x * 16 + phase) & _odd(y * 12) & (specks < 0.6),
        "sea": on_ground & ((y * 7 + zigzag + phase) % 1 < 0.35),
        "night": ~on_ground & (specks < 0.05),
        "forest": ((x * 5 + phase) % 1 < 0.3) & (y > 0.1),
        "snow": specks < 0.12,
        "meadow": on_ground & (specks < 0.12),
        "desert": on_ground & ((y * 6 + 2 * zigzag + phase) % 1 < 0.3),
    }[setting]
    sky = above + (low - above) * (y / horizon)[..., None]
    shaded = ground * (0.75 + 0.35 * y[..., None])
    canvas = np.where(on_ground[..., None], shaded, sky + 0 * x[..., None])
    hazy = 0.8 * np.where(marks[..., None], 0.4 * mark + 0.6 * canvas, canvas)
    return hazy + 40  # things in front stand out


def _points(size: int, at: float, radius: float) -> tuple[int, np.ndarray]:
    """(first pixel, points from -1 to 1) along one axis of a thing, SUB points a pixel."""
    first = max(0, math.floor((at - radius) * size))
    last = min(size, math.ceil((at + radius) * size))
    points = (np.arange(SUB * first, SUB * last) + 0.5) / (SUB * size)
    return first, (points - at) / radius


def put(rng: np.random.Generator, canvas: np.ndarray, thing: Thing) -> None:
    """Paint a thing over the canvas, each pixel the average of SUB x SUB points."""
    size = len(canvas)
    cos, sin = turn(between(rng, -0.35, 0.35))
    stripes, phase = between(rng, 2.3, 3.2), rng.random()
    base = np.array(RGB[thing.colour], float) + (rng.random(3) - 0.5) * 50
    other = base * 0.25
    top, rows = _points(size, thing.y, thing.radius)
    left, columns = _points(size, thing.x, thing.radius)
    # the thing's own axes, turned
    u = cos * columns[None] + sin * rows[:, None]
    v = cos * rows[:, None] - sin * columns[None]
    offset = 0 if thing.texture == "ringed" else phase
    inside = INSIDE[thing.shape](u, v)
    marked = inside & MARKED[thing.texture](u * stripes + offset, v * stripes + offset)
    height, width = len(rows) // SUB, len(columns) // SUB
    window = canvas[top : top + height, left : left + width]
    blocks = (height, SUB, width, SUB)
    whole = inside.reshape(blocks).sum((1, 3), dtype=np.int64)[..., None]
    part = marked.reshape(blocks).sum((1, 3), dtype=np.int64)[..., None]
    window[:] = (window * (SUB * SUB - whole) + base * (whole - part) + other * part) / (SUB * SUB)


def smudge(rng: np.random.Generator, canvas: np.ndarray) -> None:
    """A soft spot of any colour anywhere: a finger, a flare, a passer-by."""
    size = len(canvas)
    colour = rng.random(3) * 255
    x, y, radius = rng.random(), rng.random(), between(rng, 0.1, 0.2)
    centres = (np.arange(size) + 0.5) / size
    row, column = centres - y, centres - x
    distance = (row * row)[:, None] + (column * column)[None]
    alpha = np.clip(1 - distance / (radius * radius), 0, 0.8)[..., None]
    canvas += alpha * (colour - canvas)


def expose(rng: np.random.Generator, setting: str, things: list[Thing], size: int) -> np.ndarray:
    """The scene under a light and a sensor noise of its own: (size, size, 3) uint8."""
    canvas = backdrop(rng, setting, size)
    for thing in things:
        put(rng, canvas, thing)
    if rng.random() < 0.2:
        smudge(rng, canvas)
    grain = rng.integers(-64, 65, (2, size, size, 3))
    noise = (grain[0] + grain[1]) * between(rng, 0.03, 0.15)
    canvas = canvas * between(rng, 0.8, 1.1) + between(rng, -15, 15) + noise
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def paint(rng: np.random.Generator, setting: str, things: list[Thing], size: int) -> bytes:
    """The scene as a JPEG of size x size pixels."""
    buffer = io.BytesIO()
    Image.fromarray(expose(rng, setting, things, size)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
