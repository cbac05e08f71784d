"""RegNet, networks whose widths are a quantised linear function of the block index.

Radosavovic, Kosaraju, Girshick, He, Dollár 2020, "Designing Network Design Spaces", arXiv 2003.13678: section 3.3,
equations 2 to 4, and the RegNetX models of table 3 (bottleneck ratio 1, no squeeze-and-excitation).
"""

from models.blocks.anynet import AnyNet, fit_groups, quantised_stages

__all__ = ["RegNet", "expected"]


class RegNet(AnyNet):
    """The paper's RegNetX by its own parameters; every stage halves the map, and their number follows from the widths.

    group_width: channels per group, the paper's g. bottleneck_ratio: the paper's b, block width over bottleneck width.
    stem_stride: 2 in the paper; 1 suits images of 32 pixels.
    """

    def __init__(
        self,
        depth: int,
        w_0: int,
        w_a: float,
        w_m: float,
        group_width: int,
        bottleneck_ratio: float = 1.0,
        stem_width: int = 32,
        stem_stride: int = 2,
    ) -> None:
        widths, depths, _ = quantised_stages(depth, w_0, w_a, w_m)
        stages = len(widths)
        b = [bottleneck_ratio] * stages
        widths, g = fit_groups(widths, b, [group_width] * stages)
        super().__init__(widths, depths, [2] * stages, b, g, stem_width=stem_width, stem_stride=stem_stride)


def _row(depth: int, w_0: int, w_a: float, w_m: float, g: int, params: int, flops: int, acts: int) -> dict:
    """One RegNetX of the authors' model_complexity.json (pycls), with its 1000-class layer."""
    return {
        "options": {"depth": depth, "w_0": w_0, "w_a": w_a, "w_m": w_m, "group_width": g},
        "input": (3, 224, 224),
        "classes": 1000,
        "params": params,
        "flops": flops,
        "acts": acts,
        "rule": "pycls: conv + linear multiply-adds; conv, linear and max-pool outputs",
    }


expected = [
    _row(13, 24, 36.44, 2.49, 8, 2_684_792, 199_040_872, 2_164_056),
    _row(22, 24, 24.48, 2.54, 16, 5_157_512, 397_678_568, 3_143_272),
    _row(16, 48, 36.97, 2.24, 24, 6_196_040, 600_891_112, 3_975_096),
    _row(16, 56, 35.73, 2.28, 16, 7_259_656, 799_700_712, 5_148_744),
    _row(18, 80, 34.01, 2.25, 24, 9_190_136, 1_602_850_792, 7_933_512),
    _row(23, 320, 69.86, 2.0, 168, 107_811_560, 31_735_930_792, 36_302_160),
]
