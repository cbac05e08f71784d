"""GCNet: a ResNet whose later blocks add a vector of global context to their branches.

Cao, Xu, Lin, Wei, Hu 2019, "GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond",
arXiv 1904.11492, section 4.1 and table 2: r = 16, in all blocks of c3 to c5.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from models.blocks.expected import network_row
from models.blocks.layers.anynet import AnyNet, bottlenecks
from models.blocks.layers.context import GlobalContext
from models.blocks.layers.placing import Slots
from models.blocks.ranges import Blocks, Count, Depth, Stride, Width

__all__ = ["GCNet", "expected"]


class GCNet(AnyNet):
    """GCNet-50 by default. Its new blocks start as the identity.

    depths: blocks of each stage.
    width: channels of the first stage's 3x3.
    reduction: the paper's r, channels over those within a block of context.
    context_at: blocks with context: an entry for each stage, `all`, `last` or numbers from 0.
    stem: `simple`, one 3x3 of stem_stride, suits small images; `imagenet`, a 7x7 and a max-pool.
    stem_stride: of the stem's convolution.
    stem_width: channels of the stem.
    """

    def __init__(
        self,
        depths: Sequence[Depth] = (3, 4, 6, 3),
        width: Width = 64,
        reduction: Count = 16,
        context_at: Blocks = ([], "all", "all", "all"),
        stem: Literal["simple", "imagenet"] = "imagenet",
        stem_stride: Stride = 2,
        stem_width: Width = 64,
    ) -> None:
        context = partial(GlobalContext, reduction=reduction)
        super().__init__(
            **bottlenecks(depths, width),
            stem_kind=stem,
            stem_width=stem_width,
            stem_stride=stem_stride,
            slots=Slots(after=context, after_at=context_at),
        )


# params of the paper, the others counted here
expected = [network_row({}, 28_078_773, flops=4_097_917_139, acts=11_349_715)]
