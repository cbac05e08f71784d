"""Group normalization: mean and variance of a group of channels of one image.

Wu & He 2018, "Group Normalization", arXiv 1803.08494, section 3. A network's batch norms are
exchanged by models/blocks/layers/norms.py, scales and shifts kept.
"""

from typing import ClassVar

from torch import nn

from models.blocks.expected import slot_row
from models.blocks.layers.norms import most_groups
from models.blocks.ranges import Count

__all__ = ["GroupNorm", "expected"]


class GroupNorm(nn.GroupNorm):
    """maps (n, channels, *space) -> the same shape, each group of mean 0 and variance 1, scaled.

    Where the groups do not divide the channels, the most that do are taken, no more than asked for:
    the paper's networks have multiples of 32 channels alone.

    groups: of channels; 1 is layer norm over (c, h, w).
    group_width: channels per group in the place of groups; 1 is instance norm.
    """

    place: ClassVar[str] = "norm"
    identity_at_init: ClassVar[bool] = False

    def __init__(self, channels: int, groups: Count = 32, group_width: Count | None = None) -> None:
        most = channels // group_width if group_width else groups
        super().__init__(most_groups(channels, most), channels)


GroupNorm.for_clips = GroupNorm

# a scale and a shift per channel, as batch norm has
expected = [
    slot_row(256, 512),
    slot_row(48, 96, groups=1),
    slot_row(48, 96, group_width=16),
]
