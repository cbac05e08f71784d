"""Rare hashtags seen more often.

Mahajan et al. 2018 (arXiv 1805.00932), section 2.2: image I is in the training list r(I) = max over its tags h of
phi(t / f(h)) times, f(h) the frequency of h; phi(x) = max(1, sqrt x) "square root", max(1, x) "uniform", 1 "natural";
t is such that the list has the wanted length; the list is shuffled. Fractions are rounded at random for every list.
"""

from collections.abc import Sequence

import numpy as np
import torch

POWERS = {"natural": 0.0, "sqrt": 0.5, "uniform": 1.0}


def repeat_factors(targets: Sequence[np.ndarray], counts: Sequence[int], rule: str, length: int) -> np.ndarray:
    """r(I) as float32 (images,), summing to `length` under "sqrt" and "uniform"; ones under "natural".

    `targets` are the tag indices of each image (at least one), `counts` the images per tag.
    ValueError for an unknown rule or a length below the number of images (r is never below 1).
    """
    if rule not in POWERS:
        raise ValueError(f"resampling rule {rule!r} is unknown; choose one of {', '.join(POWERS)}")
    power = POWERS[rule]
    if power == 0:
        return np.ones(len(targets), np.float32)
    if length < len(targets):
        raise ValueError(f"a list of {length} cannot hold {len(targets)} images at least once; raise the length")
    f = np.asarray(counts, np.float64)
    rarest = np.array([f[tags].min() for tags in targets])  # phi rises, so the rarest tag has the maximum

    def repeats(t: float) -> np.ndarray:
        return np.maximum(1.0, (t / rarest) ** power)

    low, high = 0.0, rarest.max()
    while repeats(high).sum() < length:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if repeats(middle).sum() < length else (low, middle)
    return repeats(high).astype(np.float32)


def epoch_list(repeats: np.ndarray | torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """One shuffled training list, int64: image i is in it floor(r) or ceil(r) times, r(i) on average.

    Systematic sampling of the fractions, so that every list is as long as the sum of the factors where that is whole.
    """
    repeats = torch.as_tensor(repeats, dtype=torch.float64)
    whole = repeats.floor()
    ends = (repeats - whole).cumsum(0)
    ends[-1] = ends[-1].round() if (ends[-1] - ends[-1].round()).abs() < 0.1 else ends[-1]  # float32 factors
    ends = (ends + torch.rand((), generator=generator, dtype=torch.float64)).floor()
    times = whole + ends.diff(prepend=ends.new_zeros(1))
    images = torch.repeat_interleave(torch.arange(len(repeats)), times.long())
    return images[torch.randperm(len(images), generator=generator)]
