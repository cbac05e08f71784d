"""Two shapes that move over a still ground: a video whose class no single frame tells.

All that changes in a video is its state: five numbers of 0 to CYCLE - 1, which are where the two
shapes are (across, down), the angle that both are turned by, their size, and the angle at which
they face each other. Each runs in a circle: what leaves the frame on the left comes in on the
right, and after the largest size comes the smallest. A motion adds a step to one of the five,
modulo CYCLE, from each frame to the next.

A state at the start is uniform: each of the CYCLE ** 5 is as likely as another, whatever the
motion. A step, modulo CYCLE, maps these states one to one, so that the state of every later frame
is uniform too, for each motion and each speed. All else (shapes, colours, ground, speed) is drawn
before the motion is looked at, and a frame's pixels are a function of it and of the state alone.
So a frame has the same distribution in all classes. And a video played backwards is one of the
opposite class, as likely as this one: the frames without their order do not tell the two apart.
"""

import math

import numpy as np

from corpus.drawn.concepts import COLOURS, SHAPES
from corpus.drawn.painting import INSIDE, MARKED, RGB, turn
from corpus.sources.users import between

CYCLE = 1024  # values of each number of a state
ACROSS, DOWN, TURNED, SIZED, FACING = range(5)  # the numbers of a state
SLOWEST, FASTEST = CYCLE // 48, CYCLE // 20  # steps from frame to frame
SMALL, LARGE, APART = 0.1, 0.22, 0.22  # radius of a shape, way from the middle: of the frame's side
SUB = 3  # a pixel of a shape is 3 x 3 points
# cosine and sine of each angle
COSINE, SINE = np.array([turn(2 * math.pi * k / CYCLE) for k in range(CYCLE)], np.float32).T
GROUNDS = ("plain", "striped", "dotted", "checked", "specks")


def start_state(rng: np.random.Generator) -> np.ndarray:
    """A state int64 (5,), each as likely as another."""
    return rng.integers(0, CYCLE, 5)


def states_from(start: np.ndarray, axis: int, step: int, frames: int) -> np.ndarray:
    """The states int64 (frames, 5) of a video whose number `axis` changes by `step`."""
    states = np.repeat(start[None], frames, 0)
    states[:, axis] = (states[:, axis] + step * np.arange(frames)) % CYCLE
    return states


class Pair:
    """What two moving shapes and the ground below them look like, all but their state.

    `shapes` and `colours`: names of both.
    """

    def __init__(self, rng: np.random.Generator, size: int):
        """size: px of each side of the square frames."""
        self.size = size
        self.shapes = rng.permutation(list(SHAPES))[:2].tolist()
        self.colours = rng.permutation(list(COLOURS))[:2].tolist()
        self.offsets = rng.integers(0, CYCLE, 2).tolist()
        self.shades = [np.array(RGB[name]) + (rng.random(3) - 0.5) * 30 for name in self.colours]
        self.light = between(rng, 0.8, 1.05)
        self.ground = self._ground(rng)

    def _ground(self, rng: np.random.Generator) -> np.ndarray:
        """Pixels float32 (size, size, 3) of 0 to 255, dark enough for shapes to stand out."""
        kind = GROUNDS[int(rng.integers(len(GROUNDS)))]
        colour, other = rng.random((2, 3)) * 70 + 20
        count, phase = between(rng, 3, 9), rng.random(2)
        specks = rng.random((self.size, self.size)) < 0.15
        centres = (np.arange(self.size) + 0.5) / self.size * count
        across, down = centres[None] + phase[0], centres[:, None] + phase[1]
        marked = specks if kind == "specks" else MARKED[kind](across, down)
        return np.where(marked[..., None], other, colour).astype(np.float32)

    def frames(self, states: np.ndarray) -> np.ndarray:
        """Pixels uint8 (n, size, size, 3) of each of these states (n, 5); no frame sees another."""
        canvas = np.repeat(self.ground[None], len(states), 0)
        middle = states[:, [ACROSS, DOWN]].astype(np.float32) / CYCLE
        facing = states[:, FACING]
        aside = APART * np.stack([COSINE[facing], SINE[facing]], 1)
        radius = SMALL + (LARGE - SMALL) / CYCLE * states[:, SIZED].astype(np.float32)
        for number, side in enumerate((1, -1)):
            angle = (states[:, TURNED] + self.offsets[number]) % CYCLE
            self._put(canvas, number, middle + side * aside, angle, radius)
        return np.clip(np.rint(canvas * np.float32(self.light)), 0, 255).astype(np.uint8)

    def _put(
        self,
        canvas: np.ndarray,
        number: int,
        at: np.ndarray,
        angle: np.ndarray,
        radius: np.ndarray,
    ) -> None:
        """Paints a shape, its back darker than its front, over each frame, around its edges."""
        size, reach = self.size, math.ceil(LARGE * self.size) + 1
        near = np.arange(-reach, reach)
        first = np.floor(at * size).astype(np.int64)
        columns, rows = (first[:, axis, None] + near for axis in (0, 1))
        across = _points(columns, size) - at[:, :1]
        down = _points(rows, size) - at[:, 1:]
        cos, sin = (table[angle][:, None, None] for table in (COSINE, SINE))
        scale = radius[:, None, None]
        u = (cos * across[:, None] + sin * down[..., None]) / scale
        v = (cos * down[..., None] - sin * across[:, None]) / scale
        inside = INSIDE[self.shapes[number]](u, v)
        whole, back = _counted(inside), _counted(inside & (u < 0))
        frame = np.arange(len(at))[:, None, None]
        place = frame, rows[..., None] % size, columns[:, None] % size
        shade = self.shades[number].astype(np.float32)
        painted = shade * (whole - back) + shade * np.float32(0.45) * back
        canvas[place] = (canvas[place] * (SUB * SUB - whole) + painted) / (SUB * SUB)


def _points(pixels: np.ndarray, size: int) -> np.ndarray:
    """float32 (n, SUB * pixels): SUB points in each pixel of (n, pixels), in sides of the frame."""
    inner = (np.arange(SUB, dtype=np.float32) + np.float32(0.5)) / SUB
    spread = (pixels[..., None].astype(np.float32) + inner) / size
    return spread.reshape(len(pixels), -1)


def _counted(points: np.ndarray) -> np.ndarray:
    """float32 (n, h, w, 1): how many of the SUB x SUB points of each pixel are True."""
    n, height, width = points.shape
    blocks = points.reshape(n, height // SUB, SUB, width // SUB, SUB)
    return blocks.sum((2, 4), dtype=np.int32)[..., None].astype(np.float32)
