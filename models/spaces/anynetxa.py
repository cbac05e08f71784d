"""AnyNetXA, the design space without constraints: each stage is free.

Radosavovic, Kosaraju, Girshick, He, Dollár 2020, "Designing Network Design Spaces", arXiv
2003.13678, section 3.2.
"""

from models.blocks.design.anynet import AnyNetSpace

__all__ = ["AnyNetXA"]


class AnyNetXA(AnyNetSpace):
    """1.8e18 networks of four stages."""
