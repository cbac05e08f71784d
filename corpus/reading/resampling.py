"""Rare hashtags seen more often.

Mahajan et al. 2018 (arXiv 1805.00932), section 2.2: image I is in the training list r(I) = max over
its tags h of phi(t / f(h)) times, f(h) the frequency of h; phi(x) = max(1, sqrt x) "square root",
max(1, x) "uniform", 1 "natural"; t is such that the list has the wanted length; the list is
shuffled. Fractions are rounded at random for every list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch  # half a gigabyte of memory that counting posts does not need

POWERS = {"natural": 0.0, "sqrt": 0.5, "uniform": 1.0}


def rarest_class(ids: np.ndarray, ends: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The class of each image, of flat ids and ends, that the fewest images have.

    Int32 (images,), -1 for none.
    """
    order = np.argsort(-np.asarray(counts), kind="stable")
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order))
    sizes = np.diff(ends, prepend=0)
    rarest = np.full(len(sizes), -1, np.int32)
    if len(ids):
        rarest[sizes > 0] = order[np.maximum.reduceat(rank[ids], (ends - sizes)[sizes > 0])]
    return rarest


def class_factors(
    counts: Sequence[int], images: Sequence[int], rule: str, length: int
) -> np.ndarray:
    """r as float32 (classes,) of an image whose rarest class is c.

    phi rises, so r(I) hangs on that class alone.

    `counts` are the images per class, `images` those whose rarest class it is; the sum of images *
    r is `length` under "sqrt" and "uniform". ValueError for an unknown rule or a length below the
    number of images (r is never below 1).
    """
    if rule not in POWERS:
        raise ValueError(f"resampling rule {rule!r} is unknown; choose one of {', '.join(POWERS)}")
    power, images = POWERS[rule], np.asarray(images, np.float64)
    if power == 0:
        return np.ones(len(images), np.float32)
    if length < images.sum():
        fault = f"a list of {length} cannot hold {images.sum():.0f} images at least once"
        raise ValueError(f"{fault}; raise the length")
    # at least 1: a class that no image has is the rarest of none
    f = np.maximum(np.asarray(counts, np.float64), 1)

    def repeats(t: float) -> np.ndarray:
        return np.maximum(1.0, (t / f) ** power)

    low, high = 0.0, f.max(initial=1)
    while images.any() and repeats(high) @ images < length:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        if repeats(middle) @ images < length:
            low = middle
        else:
            high = middle
    return repeats(high).astype(np.float32)


def repeat_factors(
    ids: np.ndarray, ends: np.ndarray, counts: Sequence[int], rule: str, length: int
) -> np.ndarray:
    """r(I) as float32 (images,), summing to `length` under "sqrt" and "uniform".

    Ones under "natural".

    Flat class `ids` and the end of each image's, at least one; `counts` are the images per class.
    ValueError as above.
    """
    rarest = rarest_class(ids, ends, counts)
    return class_factors(counts, np.bincount(rarest, minlength=len(counts)), rule, length)[rarest]


def epoch_list(repeats: np.ndarray | torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """One shuffled training list, int64: image i is in it floor(r) or ceil(r) times.

    On average r(i) times.

    Systematic sampling of the fractions, so that every list is as long as the sum of the factors
    where that is whole. Needs at most 24 bytes per image at a time, then 16 per entry of the list
    (below 2^31 of each), and leaves 8.
    """
    import torch

    times = torch.as_tensor(repeats, dtype=torch.float64).floor()
    ends = torch.as_tensor(repeats, dtype=torch.float64).sub(times).cumsum_(0)
    if (ends[-1] - ends[-1].round()).abs() < 0.1:
        ends[-1] = ends[-1].round()  # a whole sum that float32 factors have missed
    ends.add_(torch.rand((), generator=generator, dtype=torch.float64)).floor_()
    times.add_(ends)[1:].sub_(ends[:-1])
    del ends
    images = torch.repeat_interleave(times.int())
    del times
    order = torch.randperm(len(images), generator=generator)
    return order.copy_(images[order])
