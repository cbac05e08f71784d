"""The global context block: one vector per image, of attention over its places, added everywhere.

Cao, Xu, Lin, Wei, Hu 2019, "GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond",
arXiv 1904.11492, section 3.3 and figure 4(d).
"""

from typing import ClassVar

from models.blocks.expected import slot_row
from models.blocks.layers import context

__all__ = ["GlobalContext", "expected"]


class GlobalContext(context.GlobalContext):
    """x (n, channels, h, w) -> x + a vector (n, channels, 1, 1).

    It stands on a residual branch, before the addition (the paper's table 2b), in all blocks of the
    last three stages.

    reduction: the paper's r, channels over those between the two layers.
    """

    place: ClassVar[str] = context.GlobalContext.place
    identity_at_init: ClassVar[bool] = True


# c^2 / 8 + 2.1875 c + 1 at r = 16
expected = [
    slot_row(256, 8_753),
    slot_row(2048, 528_769),
    slot_row(256, 33_473, reduction=4),
]
