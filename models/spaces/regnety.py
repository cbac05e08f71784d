"""RegNetY: RegNetX with squeeze-and-excitation in each block.

Radosavovic, Kosaraju, Girshick, He, Dollár 2020, "Designing Network Design Spaces", arXiv
2003.13678, section 5.
"""

from models.blocks.design.regnet import RegNetSpace

__all__ = ["RegNetY"]


class RegNetY(RegNetSpace):
    """Squeezed to a quarter of a block's inputs by default."""

    squeeze = 0.25
