"""ResNets of clips: C2D, I3D and Slow, with non-local blocks where they are asked for.

Carreira & Zisserman 2017, "Quo Vadis, Action Recognition?", arXiv 1705.07750; Wang, Girshick,
Gupta, He 2018, "Non-local Neural Networks", arXiv 1711.07971, section 3.3 and table 1;
Feichtenhofer, Fan, Malik, He 2019, "SlowFast Networks for Video Recognition", arXiv 1812.03982,
table 1. Kernels and strides as in the code of the last.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.expected import clip_row
from models.blocks.layers.norms import renormalised
from models.blocks.layers.placing import Slots
from models.blocks.layers.video.resnet3d import Bottleneck3d, Temporal, kernels_of, stem3d
from models.blocks.ranges import Blocks, Depth, Plug, Stride, Width

__all__ = ["ResNet3d", "expected"]


class ResNet3d(nn.Module):
    """clips (n, 3, t, h, w) -> a map per stage, the i-th (n, channels[i], t', h', w').

    Slow-50 by default. Its tensors are named as those of a ResNet of the same depths, which fills
    it by `init` (engine/transfer/inflating.py).

    depths: blocks of each stage.
    temporal: frames of the first kernel of each block: `c2d` has 1 everywhere; `i3d` 5 in the stem,
        then 3 in the first stage and in every second block; `slow` 3 in the last two stages; `fast`
        5 in the stem, then 3. Or a list with one number for the stem and a list for each stage,
        whose blocks take them in turn.
    temporal_at: blocks that have these, the others have 1: `all`, the `last` of each stage, or a
        list with an entry for each stage: all, last, or the numbers of blocks from 0.
    time_pool: whether pairs of frames are max-pooled behind the first stage; null: in c2d and i3d.
    width: channels of the first stage's 1x3x3; they double where the map halves.
    stem: `simple`, one 3x3 of stem_stride, suits small images; `imagenet`, a 7x7 and a max-pool.
    stem_stride: of the stem's convolution, in space.
    stem_width: channels of the stem.
    norm: in the place of batch norm.
    after: after the blocks of after_at, such as non_local.
    after_at: as temporal_at.
    """

    reads: ClassVar[str] = "clip"
    mean: ClassVar[tuple[float, ...]] = (0.45, 0.45, 0.45)
    std: ClassVar[tuple[float, ...]] = (0.225, 0.225, 0.225)

    def __init__(
        self,
        depths: Sequence[Depth] = (3, 4, 6, 3),
        temporal: Temporal = "slow",
        temporal_at: Blocks = "all",
        time_pool: bool | None = None,
        width: Width = 64,
        stem: Literal["simple", "imagenet"] = "imagenet",
        stem_stride: Stride = 2,
        stem_width: Width = 64,
        norm: Plug[Callable, "slots"] | None = None,  # noqa: F821
        after: Plug[Callable, "slots"] | None = None,  # noqa: F821
        after_at: Blocks = "all",
    ) -> None:
        super().__init__()
        slots = Slots(norm=norm, after=after, after_at=after_at).for_clips(depths)
        first, kernels = kernels_of(temporal, depths, temporal_at)
        self.stem, self.stages = stem3d(stem, stem_width, stem_stride, first), nn.ModuleList()
        reached = stem_stride * (2 if stem == "imagenet" else 1)
        self.channels = [4 * width << i for i in range(len(depths))]
        self.strides = [reached << i for i in range(len(depths))]
        self.time_pool = temporal in ("c2d", "i3d") if time_pool is None else time_pool
        self.times = [1, *[1 + self.time_pool] * (len(depths) - 1)]
        inputs = stem_width
        for i, outputs in enumerate(self.channels):
            stage = []
            for j, time in enumerate(kernels[i]):
                options = slots.of_block(i, j, depths[i], outputs, self.strides[i])
                stride = 2 if i and not j else 1
                stage.append(Bottleneck3d(inputs, outputs, stride, time, **options))
                inputs = outputs
            self.stages.append(nn.Sequential(*stage))
        if slots.norm:
            renormalised(self, slots.norm)

    def layers(self) -> list[nn.Module]:
        """The stem and every block, from input to output: what layer-wise rates count by."""
        return [self.stem, *(block for stage in self.stages for block in stage)]

    def forward(self, clips: Tensor) -> list[Tensor]:
        x, maps = self.stem(clips), []
        for i, stage in enumerate(self.stages):
            if i == 1 and self.time_pool:
                x = F.max_pool3d(x, (2, 1, 1), ceil_mode=True)
            x = stage(x)
            maps.append(x)
        return maps


_C2D, _I3D = {"temporal": "c2d"}, {"temporal": "i3d"}
_FIVE = {"after": {"name": "non_local"}, "after_at": [[], [1, 3], [1, 3, 5], []]}

# params of the authors' code and of pytorchvideo. At 256 pixels these classify 2 x 2 places each,
# which adds 2,457,600; and flops here have the 400 biases of the classifier, once
expected = [
    clip_row({}, 32_454_096, 8, 224, flops=41_740_829_072),
    clip_row({}, 32_454_096, 8, 256, flops=54_518_382_992),
    clip_row(_C2D, 24_327_632, 8, 256, flops=25_460_244_880),
    clip_row(_I3D, 28_043_472, 8, 256, flops=37_103_632_784),
    clip_row(_C2D | _FIVE, 31_686_096, 8, 224),
    clip_row(_I3D | _FIVE, 35_401_936, 8, 224),
]
