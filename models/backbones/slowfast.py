"""SlowFast: few frames through many channels, all frames through few, joined at every stage.

Feichtenhofer, Fan, Malik, He 2019, "SlowFast Networks for Video Recognition", arXiv 1812.03982,
section 3 and table 1. Kernels of the lateral connections as in the authors' code: 7 frames in 8x8,
5 in the others; the paper's table has 5. Either pathway alone is a `resnet3d`.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from models.blocks.expected import clip_row
from models.blocks.layers.norms import renormalised
from models.blocks.layers.patches import WHOLE, pooled_map
from models.blocks.layers.placing import Slots
from models.blocks.layers.video.pathways import Paths, lateral, narrowed, slowed
from models.blocks.layers.video.resnet3d import Bottleneck3d, kernels_of, stem3d
from models.blocks.ranges import Blocks, Count, Depth, Kernel, Part, Plug, Stride, Width

__all__ = ["SlowFast", "expected"]


class SlowFast(nn.Module):
    """clips (n, 3, t, h, w) -> maps of the slow pathway by stage, the fast one's last, both pooled.

    SlowFast-50 8x8 by default: of 32 frames the slow pathway takes 8. The slow maps have
    t / alpha frames, the fast one has t; the last, a vector (n, channels[-1], 1, 1, 1), has the
    channels of both.

    depths: blocks of each stage, in either pathway.
    width: channels of the first stage's 1x3x3 in the slow pathway.
    alpha: frames of the fast pathway to one of the slow; it divides the frames of a clip.
    beta: channels of the fast pathway over those of the slow.
    lateral_kernel: frames of the convolutions that carry fast maps over to the slow pathway.
    lateral_ratio: channels that these give over those of the fast pathway.
    temporal_at: blocks with kernels over time, 3 frames in the last two stages of the slow pathway
        and in all of the fast one: `all`, the `last` of each stage, or a list with an entry for
        each stage: all, last, or the numbers of blocks from 0.
    stem: `simple`, one 3x3 of stem_stride, suits small images; `imagenet`, a 7x7 and a max-pool.
    stem_stride: of the stems' convolutions, in space.
    stem_width: channels of the slow pathway's stem.
    norm: in the place of batch norm.
    after: after the slow pathway's blocks of after_at, such as non_local.
    after_at: as temporal_at.
    """

    reads: ClassVar[str] = "clip"
    mean: ClassVar[tuple[float, ...]] = (0.45, 0.45, 0.45)
    std: ClassVar[tuple[float, ...]] = (0.225, 0.225, 0.225)

    def __init__(
        self,
        depths: Sequence[Depth] = (3, 4, 6, 3),
        width: Width = 64,
        alpha: Count = 4,
        beta: Part = 1 / 8,
        lateral_kernel: Kernel = 7,
        lateral_ratio: Count = 2,
        temporal_at: Blocks = "all",
        stem: Literal["simple", "imagenet"] = "imagenet",
        stem_stride: Stride = 2,
        stem_width: Width = 64,
        norm: Plug[Callable, "slots"] | None = None,  # noqa: F821
        after: Plug[Callable, "slots"] | None = None,  # noqa: F821
        after_at: Blocks = "all",
    ) -> None:
        super().__init__()
        slots = Slots(norm=norm, after=after, after_at=after_at).for_clips(depths)
        (slow_stem, slow_time), (fast_stem, fast_time) = (
            kernels_of(path, depths, temporal_at) for path in ("slow", "fast")
        )
        slow = [stem_width, *(4 * width << i for i in range(len(depths)))]
        fast = [narrowed(channels, beta) for channels in slow]
        self.alpha = alpha
        self.stem = Paths(
            stem3d(stem, slow[0], stem_stride, slow_stem),
            stem3d(stem, fast[0], stem_stride, fast_stem),
        )
        self.stages = nn.ModuleList()
        reached = stem_stride * (2 if stem == "imagenet" else 1)
        strides = [reached << i for i in range(len(depths))]
        for i, depth in enumerate(depths):
            stage, stride = [], 2 if i else 1
            side = lateral(fast[i], lateral_ratio, lateral_kernel, alpha)
            inputs, thin = slow[i] + side[0].out_channels, fast[i]
            for j in range(depth):
                options = slots.of_block(i, j, depth, slow[i + 1], strides[i])
                one = Bottleneck3d(inputs, slow[i + 1], stride, slow_time[i][j], **options)
                two = Bottleneck3d(thin, fast[i + 1], stride, fast_time[i][j])
                stage.append(Paths(one, two, None if j else side))
                inputs, thin, stride = slow[i + 1], fast[i + 1], 1
            self.stages.append(nn.Sequential(*stage))
        self.channels = [*slow[1:], fast[-1], slow[-1] + fast[-1]]
        self.strides = [*strides, strides[-1], WHOLE]
        self.times = [*[alpha] * len(depths), 1, WHOLE]
        if slots.norm:
            renormalised(self, slots.norm)

    def layers(self) -> list[nn.Module]:
        """The stems and every pair of blocks, from input to output: (slow, fast) maps each."""
        return [self.stem, *(block for stage in self.stages for block in stage)]

    def forward(self, clips: Tensor) -> list[Tensor]:
        maps, found = self.stem((slowed(clips, self.alpha), clips)), []
        for stage in self.stages:
            maps = stage(maps)
            found.append(maps[0])
        return [*found, maps[1], torch.cat([pooled_map(each) for each in maps], 1)]


_16 = {"alpha": 8, "lateral_kernel": 5}
_R101 = {"depths": (3, 4, 23, 3), "lateral_kernel": 5}
_SIX = {"temporal_at": ["all", "all", [0, 1, 2, 3, 4, 5], "all"]}
_FIVE = {
    "lateral_kernel": 5,
    "after": {"name": "non_local", "kind": "dot_product"},
    "after_at": [[], [1, 3], [1, 3, 5], []],
}

# params of the authors' code and of pytorchvideo. At 256 pixels these classify 2 x 2 places each,
# which adds 2,764,800; and flops here have the 400 biases of the classifier, once
expected = [
    clip_row({}, 34_566_488, 32, 224, flops=50_308_583_824),
    clip_row({}, 34_566_488, 32, 256, flops=65_708_888_464),
    clip_row(_16, 34_480_216, 32, 224),  # 4x16
    clip_row(_R101, 62_826_968, 32, 256, flops=125_905_539_472),
    # 16x8, R101-50-50
    clip_row(_R101 | _SIX, 53_774_808, 64, 256, flops=213_021_233_552),
    clip_row(_FIVE, 41_838_680, 32, 224),
]
