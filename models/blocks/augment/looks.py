"""The colours that were drawn for crops, and the crops with them.

The host knows what was drawn: an operation is handed only the images that it changes.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from models.blocks.augment import colours
from models.blocks.augment.draws import moved

__all__ = ["DRAWN", "Looks", "checked_jitter", "drawn_looks", "recoloured"]

DRAWN = 9  # uniform numbers that the looks of a crop are made of


class Looks(NamedTuple):
    """What was drawn for the colours of crops (n, v), or (n) in one row: tensors on the host.

    factors: one more axis, of 4: brightness, contrast, saturation and hue.
    acting: which of the four change anything; widest: the largest sigma that there may be.
    """

    jittered: Tensor
    factors: Tensor
    grey: Tensor
    blurred: Tensor
    sigma: Tensor
    solarised: Tensor
    acting: tuple[bool, ...]
    widest: float

    def of(self, rows: slice, views: slice) -> "Looks":
        """Those of some images and views, in one row."""
        drawn = (numbers[rows, views].flatten(0, 1) for numbers in self[:-2])
        return Looks(*drawn, self.acting, self.widest)


def checked_jitter(jitter: Sequence[float]) -> tuple[float, ...]:
    """Largest changes of brightness, contrast, saturation and hue; ValueError for a hue's."""
    if jitter[3] > 0.5:
        raise ValueError(f"jitter: a hue turns by 0.5 at most, either way, not by {jitter[3]}")
    return tuple(jitter)


def drawn_looks(
    drawn: Tensor,
    jitter: Sequence[float],
    jitter_share: float,
    grey: float,
    blur: Tensor | float,
    sigma: tuple[float, float],
    solarise: Tensor | float = 0.0,
) -> Looks:
    """The looks of crops (n, v) by uniform numbers (n, v, DRAWN); shares are one or of each view.

    jitter: largest changes of brightness, contrast, saturation and hue.
    """
    strengths = torch.tensor(jitter)
    low, high = (1 - strengths).clamp(min=0), 1 + strengths
    low[3], high[3] = -strengths[3], strengths[3]  # a hue is shifted, the others are scaled
    first, last = sigma
    return Looks(
        drawn[..., 0] < jitter_share,
        low + (high - low) * drawn[..., 1:5],
        drawn[..., 5] < grey,
        drawn[..., 6] < blur,
        first + (last - first) * drawn[..., 7],
        drawn[..., 8] < solarise,
        tuple(strength > 0 for strength in jitter),
        last,
    )


def recoloured(crops: Tensor, looks: Looks, order: Sequence[int]) -> None:
    """Change crops (n, 3, h, w) of 0 to 1 in place.

    order: of the four operations of the jitter.
    """
    if any(looks.acting):
        for rows, own in _some(crops, looks.jittered):
            factors = moved(looks.factors[rows], crops.device)
            colours.jitter(own, factors, order, looks.acting)
    for _, own in _some(crops, looks.grey):
        colours.grey(own)
    for rows, own in _some(crops, looks.blurred):
        colours.blur(own, moved(looks.sigma[rows], crops.device), looks.widest)
    for _, own in _some(crops, looks.solarised):
        colours.solarise(own)


def _some(images: Tensor, drawn: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The rows that were drawn and, to be changed in place, their images: at most once.

    Nothing is copied where all or none were.
    """
    rows = drawn.nonzero()[:, 0]
    if len(rows) == len(images) > 0:
        yield rows, images
    elif len(rows):
        places = moved(rows, images.device)
        own = images.index_select(0, places)
        yield rows, own
        images.index_copy_(0, places, own)
