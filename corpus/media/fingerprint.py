"""A perceptual hash: 128 bits that rescaling, recompression and loss of colour hardly change.

The signs of the low frequencies of the luminance's cosine transform, a descendant of Zauner 2010,
"Implementation and Benchmarking of Perceptual Image Hash Functions", section 3.2.1 (pHash). Ours:
the cosines are integrated over each pixel of the image's own grid instead of the image being
resampled first, the 128 lowest frequencies are taken in all directions, and the threshold is 0, so
that a mirrored image has the same bits but for known ones that are inverted. All sums are of
integers below 2**53, exact in float64: the same pixels give the same code on every machine.
"""

from functools import lru_cache
from math import pi, sin

import numpy as np

BITS = 128
SIDE = 14  # frequencies 0 to 13 per axis hold the 128 lowest
LUMINANCE = np.array([77, 150, 29], np.float32)  # of 256: ITU-R BT.601
SCALE = 2**17  # of the integrals: luminance below 2**16, two rounds of sums below 2**17 each


def _lowest() -> np.ndarray:
    """Flat indices of the BITS lowest frequencies of SIDE x SIDE but the mean, lowest first."""
    v, u = np.mgrid[:SIDE, :SIDE]
    return np.lexsort((u.ravel(), (u * u + v * v).ravel()))[1 : BITS + 1]


LOWEST = _lowest()
ODD = np.packbits(LOWEST % SIDE % 2).view(np.uint64)  # bits of frequencies that a mirror inverts


@lru_cache(256)
def _cosines(n: int) -> np.ndarray:
    """(SIDE, n): the integral of cos(pi k t) over each n-th of [0, 1], in whole 1/SCALE."""
    ends = [[i / n for i in range(n + 1)]]  # frequency 0
    for k in range(1, SIDE):
        ends.append([sin(pi * k * i / n) / (pi * k) for i in range(n + 1)])
    return np.rint(SCALE * np.diff(ends))


def fingerprint(pixels: np.ndarray) -> np.ndarray:
    """uint64 (2,) of an RGB image, uint8 (h, w, 3); compare codes by the bits that differ.

    A flat image has code 0.
    """
    rgb = pixels.ndim == 3 and pixels.shape[2] == 3
    assert rgb and pixels.dtype == np.uint8, (pixels.dtype, pixels.shape)
    grey = (pixels.astype(np.float32) @ LUMINANCE).astype(np.float64)
    # what rounding leaves of the mean in the cosines must not give a flat image bits
    grey -= np.rint(grey.mean())
    frequencies = _cosines(len(grey)) @ grey @ _cosines(grey.shape[1]).T
    return np.packbits(frequencies.ravel()[LOWEST] > 0).view(np.uint64)


def mirrored(codes: np.ndarray) -> np.ndarray:
    """The codes, uint64 (..., 2), of the same images with left and right exchanged."""
    return codes ^ ODD
