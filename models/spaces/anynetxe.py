"""AnyNetXE: AnyNetXD whose depths do not decrease either.

Radosavovic, Kosaraju, Girshick, He, Dollár 2020, "Designing Network Design Spaces", arXiv
2003.13678, section 3.2.
"""

from models.blocks.design.anynet import AnyNetSpace

__all__ = ["AnyNetXE"]


class AnyNetXE(AnyNetSpace):
    """5.5e11 networks of four stages."""

    shared = ("bottleneck_ratios", "group_widths")
    ordered = ("depths", "widths")
