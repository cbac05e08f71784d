"""Self-attention within blocks of a map and a halo around each, in the place of a 3x3.

Vaswani, Ramachandran, Srinivas, Parmar, Hechtman, Shlens 2021, "Scaling Local Self-Attention for
Parameter Efficient Visual Backbones", arXiv 2103.12731, section 2.
"""

from typing import ClassVar

from models.blocks.expected import slot_row
from models.blocks.layers import attention
from models.blocks.ranges import Count, Whole

__all__ = ["HaloAttention", "expected"]


class HaloAttention(attention.HaloAttention):
    """(n, inputs, h, w) -> (n, outputs, h / stride, w / stride), by a part of the queries.

    heads: of the attention.
    block: side of a block, in places; a multiple of the stride.
    halo: places around a block that it attends to as well.
    scaled: whether the logits of positions are scaled as those of contents; timm does not.
    """

    place: ClassVar[str] = "spatial"
    identity_at_init: ClassVar[bool] = False

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int = 1,
        size: tuple[int, int] | None = None,
        heads: Count = 8,
        block: Count = 8,
        halo: Whole = 3,
        scaled: bool = True,
    ) -> None:
        super().__init__(inputs, outputs, stride, size, heads, block, halo, scaled)


expected = [
    slot_row(64, 12_720),
    slot_row(64, 13_280, heads=4, block=16, halo=0),
]  # as bot_attention's
