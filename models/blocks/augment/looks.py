"""The colours that were drawn for crops, and the crops with them.

The host knows what was drawn: an operation is handed only the images that it changes.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import Tensor

from models.blocks.augment import colours
from models.blocks.augment.draws import moved

__all__ = ["Looks", "recoloured"]


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
