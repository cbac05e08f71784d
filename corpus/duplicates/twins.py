"""Duplicates between stores, by equal bytes and by like fingerprints whose pixels agree.

Mahajan et al. 2018 (arXiv 1805.00932) search the corpus for the images of the evaluation sets;
candidates are checked.
"""

from typing import NamedTuple

import numpy as np

from corpus.duplicates.hamming import RADIUS, near
from corpus.duplicates.overlap import LIKE, verify_pairs
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
    """The duplicates within a store, or those that b shares with a; mirrored copies too."""
    same = exact(a.digests, None if b is None else b.digests)
    other = a if b is None else b
    same = same[np.isin(same[:, 0], a.usable) & np.isin(same[:, 1], other.usable)]
    found, kinds, distances = [same], [np.full(len(same), "exact")], [np.zeros(len(same), np.int64)]
    for kind, codes in (("near", other.codes), ("mirrored", mirrored(other.codes))):
        pairs, bits = _alike(a, other, codes, radius, within=b is None and kind == "near")
        if b is None:
            pairs, bits = pairs[pairs[:, 0] < pairs[:, 1]], bits[pairs[:, 0] < pairs[:, 1]]
        new = ~np.isin(_keys(pairs), np.concatenate([_keys(part) for part in found]))
        pairs, bits = pairs[new], bits[new]
        load = (lambda rows: other.pixels(rows)[:, :, ::-1]) if kind == "mirrored" else other.pixels
        alike = verify_pairs(a.pixels, load, pairs[:, 0], pairs[:, 1]) >= least
        alike &= _same_colours(a, other, pairs)
        found.append(pairs[alike])
        kinds.append(np.full(alike.sum(), kind))
        distances.append(bits[alike])
    return TwinPairs(np.concatenate(found), np.concatenate(kinds), np.concatenate(distances))


def _alike(
    a: Side, b: Side, codes: np.ndarray, radius: int, within: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of usable rows with like codes, and the bits in which these differ."""
    result = near(a.codes[a.usable], None if within else codes[b.usable], radius)
    return np.stack(
        [a.usable[result.pairs[:, 0]], b.usable[result.pairs[:, 1]]], 1
    ), result.distances


def _tints(side: Side, rows: np.ndarray) -> np.ndarray:
    """Mean of each channel less their mean, (n, 3): brightness leaves it as it is.

    NaN for an image without colours.
    """
    tints = np.empty((len(rows), 3))
    for i, row in enumerate(rows.tolist()):
        pixels = side.pixels(np.array([row]))[0].astype(np.float32)  # one by one: there may be many
        colours = pixels - pixels.mean(2, keepdims=True)
        tints[i] = colours.mean((0, 1)) if np.abs(colours).mean() > GREY else np.nan
    return tints


def _same_colours(a: Side, b: Side, pairs: np.ndarray) -> np.ndarray:
    """Whether pairs agree in colour too, or one is grey: a shop's shoe in red is not the same
    one in blue.
    """
    apart = np.abs(_tints(a, pairs[:, 0]) - _tints(b, pairs[:, 1])).max(1)
    return ~(apart > TINT)


def _keys(pairs: np.ndarray) -> np.ndarray:
    return pairs[:, 0].astype(np.int64) << 32 | pairs[:, 1]
