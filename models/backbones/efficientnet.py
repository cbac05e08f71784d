"""EfficientNet: inverted bottlenecks with squeeze-and-excitation, scaled in width and depth.

Tan & Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", arXiv
1905.11946: table 1 (B0) and section 4. Padded on both sides alike, as in pycls; the authors' code
pads one side more.
"""

from collections.abc import Sequence
from functools import partial
from math import ceil

from torch import Tensor, nn

from models.blocks.design.scaling import near_eights
from models.blocks.expected import network_row
from models.blocks.layers.anynet import AnyNet
from models.blocks.layers.convolution import SqueezeExcitation, convolution
from models.blocks.ranges import Depth, Positive, Stride, Width

__all__ = ["EfficientNet", "expected"]


class MBConv(nn.Module):
    """1x1 that expands, depthwise kernel x kernel, squeeze-and-excitation, 1x1.

    It squeezes to a quarter of the inputs.

    Its last gamma starts at 1, as the authors' does: no identity at the start.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int, kernel: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.transform = nn.Sequential(
            *([*convolution(inputs, inner), nn.SiLU(inplace=True)] if expansion > 1 else []),
            *convolution(inner, inner, kernel, stride, groups=inner),
            nn.SiLU(inplace=True),
            SqueezeExcitation(inner, inputs // 4, nn.SiLU),
            *convolution(inner, outputs),
        )
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.transform(x) if self.residual else self.transform(x)


def pointwise(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """The 1x1 before the pooling."""
    return nn.Sequential(*convolution(inputs, outputs, 1, stride), nn.SiLU(inplace=True))


class EfficientNet(AnyNet):
    """B0 by default; the last 1x1 is a stage of its own.

    width: factor on the channels.
    depth: factor on the blocks.
    stem_stride: of the stem's convolution, 2 in the paper; 1 suits images of 32 pixels.
    widths, depths: channels and blocks of B0's seven stages.
    stem_width: channels of the stem.
    head_width: channels of the last 1x1.
    """

    def __init__(
        self,
        width: Positive = 1.0,
        depth: Positive = 1.0,
        stem_stride: Stride = 2,
        widths: Sequence[Width] = (16, 24, 40, 80, 112, 192, 320),
        depths: Sequence[Depth] = (1, 2, 2, 3, 3, 4, 1),
        stem_width: Width = 32,
        head_width: Width = 1280,
    ) -> None:
        strides, expansions, kernels = (
            (1, 2, 2, 2, 1, 2, 1),
            (1, 6, 6, 6, 6, 6, 6),
            (3, 3, 5, 3, 5, 5, 3),
        )
        if not len(widths) == len(depths) == len(strides):
            raise ValueError(f"widths, depths: give each {len(strides)} stages, EfficientNet's own")
        super().__init__(
            widths=[near_eights(width * w) for w in (*widths, head_width)],
            depths=[*(ceil(depth * d) for d in depths), 1],
            strides=[*strides, 1],
            blocks=[
                *(
                    partial(MBConv, expansion=e, kernel=k)
                    for e, k in zip(expansions, kernels, strict=True)
                ),
                pointwise,
            ],
            stem_width=near_eights(width * stem_width),
            stem_stride=stem_stride,
            activation=nn.SiLU,
        )


def _row(width: float, depth: float, side: int, params: int, flops: int, acts: int) -> dict:
    """One network of pycls's model_complexity.json at its own resolution."""
    return network_row({"width": width, "depth": depth}, params, side, flops=flops, acts=acts)


expected = [  # B0 to B5
    _row(1.0, 1.0, 224, 5_288_548, 385_825_092, 6_748_036),
    _row(1.0, 1.1, 240, 7_794_184, 686_817_992, 10_884_328),
    _row(1.1, 1.2, 260, 9_109_994, 993_578_282, 13_832_834),
    _row(1.2, 1.4, 300, 12_233_232, 1_827_162_472, 23_831_296),
    _row(1.4, 1.8, 380, 19_341_616, 4_393_801_064, 49_489_032),
    _row(1.6, 2.2, 456, 30_389_784, 10_266_426_072, 98_857_400),
]
