"""RegNetX, the design space of networks with quantised linear widths.

Radosavovic, Kosaraju, Girshick, He, Dollár 2020, "Designing Network Design Spaces", arXiv
2003.13678, section 3.3.
"""

from models.blocks.design.regnet import RegNetSpace

__all__ = ["RegNetX"]


class RegNetX(RegNetSpace):
    """Bottleneck ratio 1 and 12 to 28 blocks by default: section 4 and the authors' sampler."""
