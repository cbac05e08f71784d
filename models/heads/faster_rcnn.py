"""Faster R-CNN over a feature pyramid: boxes in two stages.

Ren, He, Girshick, Sun 2015, "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal
Networks", arXiv 1506.01497; Lin et al. 2017, "Feature Pyramid Networks for Object Detection", arXiv
1612.03144, sections 4 and 5.2.
"""

from models.blocks.detection.twostage import TwoStage

__all__ = ["FasterRCNN"]


class FasterRCNN(TwoStage):
    """Maps of a backbone -> boxes of the objects that they show, with classes and scores."""
