"""What a drawn scene holds: a setting, one to four things in it, and what a person could name."""

from bisect import bisect
from typing import NamedTuple

import numpy as np

from corpus.drawn.concepts import CLASSES, COLOURS, COUNTS, SETTINGS, SHAPES, TEXTURES
from corpus.sources.users import between, zipf


class Thing(NamedTuple):
    """One object: what it is, and where."""

    shape: str
    texture: str
    colour: str
    radius: float  # this and the place in parts of the image side
    x: float
    y: float


def draw_kind(rng: np.random.Generator) -> tuple[str, str]:
    """Shape and texture of a thing in a post, those of a target class ten times less often."""
    while True:
        drawn = zipf(rng, list(SHAPES), 2), zipf(rng, list(TEXTURES), 2)
        if drawn not in CLASSES or rng.random() < 0.1:
            return drawn


def compose(
    rng: np.random.Generator, wanted: tuple[str, str] | None = None
) -> tuple[str, list[Thing]]:
    """A setting and 1 to 4 things in it, all of the kind wanted, else mostly of one kind."""
    count = 1 + bisect((0.72, 0.88, 0.95), rng.random())
    corners = rng.permutation(4)
    shape, texture = wanted or draw_kind(rng)
    colour = zipf(rng, list(COLOURS), 3)
    things = []
    for corner in corners[:count].tolist():
        if wanted is None and rng.random() < 0.08:
            shape, texture = draw_kind(rng)
        if rng.random() < 0.3:
            colour = zipf(rng, list(COLOURS), 3)
        if count == 1:
            radius, spread = between(rng, 0.36, 0.48), 0.1
            x, y = 0.5, 0.5
        else:
            radius, spread = between(rng, 0.22, 0.28), 0.06
            x, y = 0.27 + 0.46 * (corner % 2), 0.27 + 0.46 * (corner // 2)
        x, y = x + between(rng, -spread, spread), y + between(rng, -spread, spread)
        things.append(Thing(shape, texture, colour, radius, x, y))
    return zipf(rng, list(SETTINGS), 3), things


def concepts_in(setting: str, things: list[Thing]) -> list[str]:
    """What a person could name in the picture; never which texture is on which shape."""
    names = [setting, list(COUNTS)[len(things) - 1]]
    for thing in things:
        names += [thing.shape, thing.texture, thing.colour]
    if things[0].radius > 0.43:
        names.append("big")
    elif things[0].radius < 0.24:
        names.append("small")
    return list(dict.fromkeys(names))
