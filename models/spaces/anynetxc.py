"""AnyNetXC: AnyNetXB whose stages also share a group width.

Radosavovic, Kosaraju, Girshick, He, Dollár 2020, "Designing Network Design Spaces", arXiv
2003.13678, section 3.2.
"""

from models.blocks.design.anynet import AnyNetSpace

__all__ = ["AnyNetXC"]


class AnyNetXC(AnyNetSpace):
    """3.2e14 networks of four stages."""

    shared = ("bottleneck_ratios", "group_widths")
