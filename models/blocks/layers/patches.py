"""What trunks of patches share: maps padded to whole patches, norms over channels, pooled maps."""

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["WHOLE", "ChannelNorm", "pad_to", "pooled_map"]

# the stride of a map of a single place, which stands for the whole image; no image has more pixels
# to a side (models/blocks/ranges.py, Pixels)
WHOLE = 4096


def pad_to(x: Tensor, multiple: int) -> Tensor:
    """x (n, c, h, w) with zeros below and on the right, so that `multiple` divides both sides."""
    below, right = -x.shape[2] % multiple, -x.shape[3] % multiple
    return F.pad(x, (0, right, 0, below)) if below or right else x


class ChannelNorm(nn.LayerNorm):
    """Layer normalization of each place of a map (n, c, h, w) over its channels.

    Ba, Kiros, Hinton 2016, "Layer Normalization", arXiv 1607.06450, as Liu et al. 2022, "A ConvNet
    for the 2020s", arXiv 2201.03545, use it; eps as theirs.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def pooled_map(x: Tensor) -> Tensor:
    """The mean of a map (n, c, *space) as a map of one place, as (n, c, 1, 1)."""
    return x.mean(tuple(range(2, x.ndim)), keepdim=True)
