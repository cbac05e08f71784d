"""Self-attention of all places of a map in the place of a bottleneck's 3x3.

Srinivas, Lin, Parmar, Shlens, Abbeel, Vaswani 2021, "Bottleneck Transformers for Visual
Recognition", arXiv 2101.11605, section 3 and figure 4.
"""

from typing import Any, ClassVar

from models.blocks.expected import slot_row
from models.blocks.layers import attention

__all__ = ["BotAttention", "expected"]


class BotAttention(attention.BotAttention):
    """(n, inputs, h, w) -> (n, outputs, h / stride, w / stride), averaged by two at stride 2.

    The paper has it in all blocks of the last stage.

    heads: of the attention.
    scaled: whether the logits of positions are scaled as those of contents; timm does not.
    """

    place: ClassVar[str] = "spatial"
    identity_at_init: ClassVar[bool] = False


def _row(channels: int, side: int, params: int) -> dict[str, Any]:
    return slot_row(channels, params) | {"size": (side, side)}


expected = [_row(64, 16, 13_280), _row(512, 14, 793_344)]  # 3 c^2 + 2 (2 side - 1) c / heads
