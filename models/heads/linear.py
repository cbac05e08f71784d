"""Linear classifier on the mean of the last feature map, trained with the whole network.

Mahajan et al. 2018, "Exploring the Limits of Weakly Supervised Pretraining", arXiv 1805.00932,
section 3: full network fine-tuning.
"""

from models.blocks.layers.classifying import LinearClassifier

__all__ = ["Linear"]


class Linear(LinearClassifier):
    """features, the last (n, channels[-1], h, w) -> logits (n, classes)."""
