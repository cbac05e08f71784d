"""AnyNetXD: AnyNetXC whose widths do not decrease from stage to stage.

Radosavovic, Kosaraju, Girshick, He, Dollár 2020, "Designing Network Design Spaces", arXiv
2003.13678, section 3.2.
"""

from models.blocks.design.anynet import AnyNetSpace

__all__ = ["AnyNetXD"]


class AnyNetXD(AnyNetSpace):
    """1.3e13 networks of four stages."""

    shared = ("bottleneck_ratios", "group_widths")
    ordered = ("widths",)
