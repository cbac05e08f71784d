"""The non-local block on clips: each place of each frame sees all places of all frames.

Wang, Girshick, Gupta, He 2018, "Non-local Neural Networks", arXiv 1711.07971, section 3.3.
"""

from typing import ClassVar

from torch import nn

from models.blocks.layers import nonlocality

__all__ = ["NonLocal3d"]


class NonLocal3d(nonlocality.NonLocal):
    """x (n, channels, t, h, w) -> x + norm(project(means)), of the same shape."""

    convolution: ClassVar[type[nn.Module]] = nn.Conv3d
    normalization: ClassVar[type[nn.Module]] = nn.BatchNorm3d

    def halved(self) -> nn.Module:
        """The map max-pooled by two in space alone (section 3.3, the subsampling trick)."""
        return nn.MaxPool3d((1, 2, 2), ceil_mode=True)
