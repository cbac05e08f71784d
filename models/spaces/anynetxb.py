"""AnyNetXB: AnyNetXA whose stages share a bottleneck ratio.

Radosavovic, Kosaraju, Girshick, He, Dollár 2020, "Designing Network Design Spaces", arXiv
2003.13678, section 3.2.
"""

from models.blocks.design.anynet import AnyNetSpace

__all__ = ["AnyNetXB"]


class AnyNetXB(AnyNetSpace):
    """6.8e16 networks of four stages."""

    shared = ("bottleneck_ratios",)
