"""A ResNet with non-local blocks: NL-50.

Wang, Girshick, Gupta, He 2018, "Non-local Neural Networks", arXiv 1711.07971, sections 3.3 and 4.1:
five blocks, after every second block of res3 and res4. On images; the paper's are videos.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from models.blocks.expected import network_row
from models.blocks.layers.anynet import AnyNet, bottlenecks
from models.blocks.layers.nonlocality import Kind, NonLocal
from models.blocks.layers.placing import Slots
from models.blocks.ranges import Blocks, Count, Depth, Stride, Width

__all__ = ["NLNet", "expected"]


class NLNet(AnyNet):
    """NL-50 by default. Its new blocks start as the identity.

    depths: blocks of each stage.
    width: channels of the first stage's 3x3.
    kind: how alike two places are.
    subsample: whether values are those of the map max-pooled by two.
    reduction: channels over those of the embeddings.
    nonlocal_at: blocks that one follows: an entry for each stage, `all`, `last` or numbers from 0.
    stem: `simple`, one 3x3 of stem_stride, suits small images; `imagenet`, a 7x7 and a max-pool.
    stem_stride: of the stem's convolution.
    stem_width: channels of the stem.
    """

    def __init__(
        self,
        depths: Sequence[Depth] = (3, 4, 6, 3),
        width: Width = 64,
        kind: Kind = "embedded_gaussian",
        subsample: bool = False,
        reduction: Count = 2,
        nonlocal_at: Blocks = ([], [1, 3], [1, 3, 5], []),
        stem: Literal["simple", "imagenet"] = "imagenet",
        stem_stride: Stride = 2,
        stem_width: Width = 64,
    ) -> None:
        block = partial(NonLocal, kind=kind, subsample=subsample, reduction=reduction)
        super().__init__(
            **bottlenecks(depths, width),
            stem_kind=stem,
            stem_width=stem_width,
            stem_stride=stem_stride,
            slots=Slots(after=block, after_at=nonlocal_at),
        )


expected = [  # ResNet-50 and the 7,358,464 of two blocks of 512, three of 1024 channels;
    # flops and acts counted here
    network_row({}, 32_915_496, flops=6_895_328_232, acts=16_875_032)
]
