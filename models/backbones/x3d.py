"""X3D: a tiny 2-D network expanded along time, space, width and depth.

Feichtenhofer 2020, "X3D: Expanding Architectures for Efficient Video Recognition", arXiv
2004.04730, tables 1 and 2. XS, S and M are one network, of 4 x 160, 13 x 160 and 16 x 224 frames x
pixels; L is `depth: 5.0` at 16 x 312, and the paper's start X2D `depth: 1.0, bottleneck: 1.0` at
1 x 112. The weights are laid out as in PyTorchVideo.
"""

from collections.abc import Sequence
from itertools import accumulate, repeat
from operator import mul
from typing import ClassVar

from torch import Tensor, nn

from models.blocks.design.x3d import squeezed, x3d_stages
from models.blocks.expected import clip_row
from models.blocks.layers.patches import WHOLE
from models.blocks.layers.video.x3d import Bottleneck, Embedding, Stem
from models.blocks.ranges import Depth, Positive, Share, Stride, Width

__all__ = ["X3D", "expected"]


class X3D(nn.Module):
    """clips (n, 3, t, h, w) -> a map per stage (n, c, t, h / s, w / s), and a vector.

    XS, S and M by default. Time is nowhere strided. The vector (n, head_width, 1, 1, 1) is what the
    paper's classifier reads; it is of the mean over the whole clip, of whatever size.

    width: factor on the channels.
    depth: factor on the blocks.
    bottleneck: channels inside of the bottlenecks over those outside.
    stem_width: channels of the stem and the first stage, before the factor; each stage doubles
        them.
    depths: blocks of each stage, before the factor.
    se_ratio: squeezed channels over those inside of the bottleneck, in every second block; 0 for no
        squeeze-and-excitation.
    stem_stride: of the stem in space, 2 in the paper; 1 suits clips of 32 pixels.
    head_width: channels of the vector.
    drop: dropout of the vector; 0.5 in the paper's training.
    shortcut_norm: batch norm also on the first stage's shortcut, as in PySlowFast, where each of
        the networks has 48 parameters more.
    """

    reads: ClassVar[str] = "clip"
    mean: ClassVar[Sequence[float]] = (0.45, 0.45, 0.45)
    std: ClassVar[Sequence[float]] = (0.225, 0.225, 0.225)

    def __init__(
        self,
        width: Positive = 2.0,
        depth: Positive = 2.2,
        bottleneck: Positive = 2.25,
        stem_width: Width = 12,
        depths: Sequence[Depth] = (1, 2, 5, 3),
        se_ratio: Share = 0.0625,
        stem_stride: Stride = 2,
        head_width: Width = 2048,
        drop: Share = 0.0,
        shortcut_norm: bool = False,
    ) -> None:
        super().__init__()
        stages = x3d_stages(width, depth, bottleneck, stem_width, depths)
        widths, inputs = [stage.outputs for stage in stages], stages[0].outputs
        self.stem, self.stages = Stem(inputs, stem_stride), nn.ModuleList()
        for blocks, inner, outputs in stages:
            stage = []
            for block in range(blocks):
                gate = squeezed(inner, block, se_ratio)
                stride = 1 if block else 2
                stage.append(Bottleneck(inputs, inner, outputs, stride, gate, shortcut_norm))
                inputs = outputs
            self.stages.append(nn.Sequential(*stage))
        self.embedding = Embedding(inputs, inner, head_width, drop)
        strides = accumulate(repeat(2, len(widths)), mul, initial=stem_stride)
        self.channels, self.strides = [*widths, head_width], [*list(strides)[1:], WHOLE]
        self.times = [*[1] * len(widths), WHOLE]

    def layers(self) -> list[nn.Module]:
        """The stem, every block, and what makes the vector, from input to output."""
        return [self.stem, *(block for stage in self.stages for block in stage), self.embedding]

    def forward(self, clips: Tensor) -> list[Tensor]:
        x, maps = self.stem(clips), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return [*maps, self.embedding(x)]


BIASES = 4_120  # of the gates and of the classes, which the rule counts and the reference does not
expected = [  # XS, S, M, L; X2D
    clip_row({}, 3_794_274, 4, 160, flops=605_256_512 + BIASES),
    clip_row({}, 3_794_274, 13, 160, flops=1_962_892_112 + BIASES),
    clip_row({}, 3_794_274, 16, 224, flops=4_732_468_736 + BIASES),
    clip_row({"depth": 5.0}, 6_153_384, 16, 312, flops=18_367_710_176 + 7_894),
    clip_row({"depth": 1.0, "bottleneck": 1.0}, 1_633_512, 1, 112, flops=20_662_304 + 1_216),
]
