"""BoTNet: a ResNet whose last stage attends to all places in the place of its 3x3.

Srinivas, Lin, Parmar, Shlens, Abbeel, Vaswani 2021, "Bottleneck Transformers for Visual
Recognition", arXiv 2101.11605, section 3 and table 1; stride 1 in the last stage is the paper's
BoTNet-S1, section 4.8.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

from models.blocks.expected import network_row
from models.blocks.layers.anynet import AnyNet, bottlenecks
from models.blocks.layers.attention import BotAttention
from models.blocks.layers.placing import Slots
from models.blocks.ranges import Blocks, Count, Depth, Pixels, Stride, Width

__all__ = ["BotNet", "expected"]


class BotNet(AnyNet):
    """BoTNet-50 by default, whose first block of attention averages its map by two.

    depths: blocks of each stage.
    width: channels of the first stage's 3x3.
    heads: of each attention.
    scaled: whether the logits of positions are scaled as those of contents; timm does not.
    attention_at: blocks that attend: an entry for each stage, `all`, `last` or numbers from 0.
    last_stride: of the last stage.
    resolution: side in pixels of the images that positions are made for; others interpolate.
    stem: `simple`, one 3x3 of stem_stride, suits small images; `imagenet`, a 7x7 and a max-pool.
    stem_stride: of the stem's convolution.
    stem_width: channels of the stem.
    """

    def __init__(
        self,
        depths: Sequence[Depth] = (3, 4, 6, 3),
        width: Width = 64,
        heads: Count = 4,
        scaled: bool = True,
        attention_at: Blocks = ([], [], [], "all"),
        last_stride: Stride = 2,
        resolution: Pixels = 224,
        stem: Literal["simple", "imagenet"] = "imagenet",
        stem_stride: Stride = 2,
        stem_width: Width = 64,
    ) -> None:
        attention = partial(BotAttention, heads=heads, scaled=scaled)
        stages = bottlenecks(depths, width)
        stages["strides"][-1] = last_stride
        super().__init__(
            **stages,
            stem_kind=stem,
            stem_width=stem_width,
            stem_stride=stem_stride,
            slots=Slots(spatial=attention, spatial_at=attention_at, resolution=resolution),
        )


def _row(options: dict, params: int, flops: int, acts: int) -> dict:
    """One network; flops and acts counted here."""
    return network_row(options, params, flops=flops, acts=acts)


expected = [
    _row({}, 20_852_008, 4_021_347_304, 12_042_848),
    _row({"last_stride": 1}, 20_859_176, 5_410_218_984, 14_326_248),
]
