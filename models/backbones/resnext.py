"""ResNeXt, residual bottlenecks whose 3x3 is split into `cardinality` groups.

Xie, Girshick, Dollár, Tu, He 2017, "Aggregated Residual Transformations for Deep Neural Networks", arXiv 1611.05431:
table 1 and figure 3(c). 101 layers of 32x{8,16,32,48}d are the networks of Mahajan et al. 2018, arXiv 1805.00932.
"""

from collections.abc import Sequence

from models.blocks.anynet import AnyNet

__all__ = ["ResNeXt", "expected"]


class ResNeXt(AnyNet):
    """ResNeXt cardinality x group_width d: both and the width double where the map halves, on the 3x3 of a stage.

    width: a quarter of the first stage's output. stem `simple`, one 3x3 of stem_stride, suits small images.
    """

    def __init__(
        self,
        depths: Sequence[int] = (3, 4, 6, 3),
        cardinality: int = 32,
        group_width: int = 4,
        width: int = 64,
        stem: str = "imagenet",
        stem_stride: int = 2,
        stem_width: int = 64,
    ) -> None:
        doubling = [2**i for i in range(len(depths))]
        super().__init__(
            widths=[4 * width * k for k in doubling],
            depths=depths,
            strides=[1] + [2] * (len(depths) - 1),
            ratios=[4 * width / (cardinality * group_width)] * len(depths),
            group_widths=[group_width * k for k in doubling],
            stem_kind=stem,
            stem_width=stem_width,
            stem_stride=stem_stride,
        )


_imagenet = {"input": (3, 224, 224), "classes": 1000}
_pycls = {**_imagenet, "rule": "pycls: conv + linear multiply-adds; conv, linear and max-pool outputs"}
_count = {**_imagenet, "rule": "parameters only"}

expected = [
    {"options": {}, "params": 25_028_904, "flops": 4_230_480_872, "acts": 14_602_216, **_pycls},
    {
        "options": {"depths": (3, 4, 23, 3)},
        "params": 44_177_704,
        "flops": 7_969_997_800,
        "acts": 21_426_152,
        **_pycls,
    },
    {"options": {"cardinality": 1, "group_width": 64}, "params": 25_557_032, "flops": 4_089_185_256, "acts": 11_315_688}
    | _pycls,  # one group of 64 is ResNet-50
    {"options": {"depths": (3, 4, 23, 3), "group_width": 8}, "params": 88_791_336, **_count},
    {"options": {"depths": (3, 4, 23, 3), "group_width": 48}, "params": 828_411_176, **_count},
]
