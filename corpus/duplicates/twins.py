"""Duplicates between stores, by equal bytes and by like fingerprints whose pixels agree.

Of videos most of what is shown has to be alike: corpus/duplicates/videos.py.

Mahajan et al. 2018 (arXiv 1805.00932) search the corpus for the images of the evaluation sets;
candidates are checked.
"""

from functools import partial
from typing import NamedTuple

import numpy as np

from corpus.duplicates import videos
from corpus.duplicates.hamming import RADIUS, near
from corpus.duplicates.overlap import LIKE, Load, verify_pairs
from corpus.duplicates.search import exact
from corpus.media.fingerprint import mirrored
from corpus.store.squares import Side

TINT = 8  # of 256: recompression and rescaling move the mean colour of an image by less
GREY = 3  # of 256: mean distance from grey below which an image has no colours


class TwinPairs(NamedTuple):
    """Duplicate pairs (m, 2) of rows, how each was found, and the bits in which the fingerprints
    differ.
    """

    pairs: np.ndarray
    kinds: np.ndarray
    distances: np.ndarray


def twin_pairs(
    a: Side, b: Side | None = None, radius: int = RADIUS, least: float = LIKE
) -> TwinPairs:
    """The duplicates within a store, or those that b shares with a; mirrored copies too.

    radius: of images' fingerprints. A video and an image are duplicates by equal bytes alone.
    """
    same = exact(a.digests, None if b is None else b.digests)
    other = a if b is None else b
    same = same[np.isin(same[:, 0], a.usable) & np.isin(same[:, 1], other.usable)]
    found, kinds, distances = [same], [np.full(len(same), "exact")], [np.zeros(len(same), np.int64)]
    moving = [side.frames is not None for side in (a, other)]
    kinds_of_pairs = ("near", "mirrored") if moving[0] == moving[1] else ()
    for kind in kinds_of_pairs:
        known = np.concatenate([_keys(part) for part in found])
        search = _like_videos if all(moving) else partial(_like_images, radius=radius)
        pairs, bits = search(a, b, kind == "mirrored", known, least=least)
        found.append(pairs)
        kinds.append(np.full(len(pairs), kind))
        distances.append(bits)
    return TwinPairs(np.concatenate(found), np.concatenate(kinds), np.concatenate(distances))


def _like_images(
    a: Side, b: Side | None, mirror: bool, known: np.ndarray, radius: int, least: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of images that are not `known`, and the bits in which their codes differ."""
    other = a if b is None else b
    codes = mirrored(other.codes) if mirror else other.codes
    pairs, bits = _alike(a, other, codes, radius, within=b is None and not mirror)
    if b is None:
        pairs, bits = pairs[pairs[:, 0] < pairs[:, 1]], bits[pairs[:, 0] < pairs[:, 1]]
    new = ~np.isin(_keys(pairs), known)
    pairs, bits = pairs[new], bits[new]
    shown = partial(_mirror_image, other.pixels) if mirror else other.pixels
    alike = verify_pairs(a.pixels, shown, pairs[:, 0], pairs[:, 1]) >= least
    alike &= _same_colours(a.pixels, other.pixels, pairs)
    return pairs[alike], bits[alike]


def _like_videos(
    a: Side, b: Side | None, mirror: bool, known: np.ndarray, least: float
) -> tuple[np.ndarray, np.ndarray]:
    """As of images: of the frames that are looked at, half at the least have to be alike."""
    other = a if b is None else b
    sides = [videos.films(*side.frames, side.codes, side.usable) for side in (a, other)]
    found = videos.repeated(sides[0], None if b is None else sides[1], mirror)
    number, mine, theirs = found.shown[~np.isin(_keys(found.pairs), known)[found.shown[:, 0]]].T
    # frames of each side by their place in this list
    loads = [
        partial(_frames, side, found.pairs[number, column], places)
        for column, (side, places) in enumerate(((a, mine), (other, theirs)))
    ]
    rows = np.arange(len(number))
    shown = partial(_mirror_image, loads[1]) if mirror else loads[1]
    alike = verify_pairs(loads[0], shown, rows, rows) >= least
    alike &= _same_colours(*loads, np.stack([rows, rows], 1))
    looked = np.bincount(number, minlength=len(found.pairs))
    good = (2 * np.bincount(number, alike, len(found.pairs)) >= looked) & (looked > 0)
    return found.pairs[good], found.distances[good]


def _frames(side: Side, rows: np.ndarray, places: np.ndarray, some: np.ndarray) -> np.ndarray:
    return side.frame_pixels(rows[some], places[some])


def _mirror_image(load: Load, rows: np.ndarray) -> np.ndarray:
    return load(rows)[:, :, ::-1]


def _alike(
    a: Side, b: Side, codes: np.ndarray, radius: int, within: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of usable rows with like codes, and the bits in which these differ."""
    result = near(a.codes[a.usable], None if within else codes[b.usable], radius)
    return np.stack(
        [a.usable[result.pairs[:, 0]], b.usable[result.pairs[:, 1]]], 1
    ), result.distances


def _tints(load: Load, rows: np.ndarray) -> np.ndarray:
    """Mean of each channel less their mean, (n, 3): brightness leaves it as it is.

    NaN for an image without colours.
    """
    tints = np.empty((len(rows), 3))
    for i, row in enumerate(rows.tolist()):
        pixels = load(np.array([row]))[0].astype(np.float32)  # one by one: there may be many
        colours = pixels - pixels.mean(2, keepdims=True)
        tints[i] = colours.mean((0, 1)) if np.abs(colours).mean() > GREY else np.nan
    return tints


def _same_colours(a: Load, b: Load, pairs: np.ndarray) -> np.ndarray:
    """Whether pairs agree in colour too, or one is grey: a shop's shoe in red is not the same
    one in blue.
    """
    apart = np.abs(_tints(a, pairs[:, 0]) - _tints(b, pairs[:, 1])).max(1)
    return ~(apart > TINT)


def _keys(pairs: np.ndarray) -> np.ndarray:
    return pairs[:, 0].astype(np.int64) << 32 | pairs[:, 1]
