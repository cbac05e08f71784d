"""Convolutions of each channel by itself over time and space: what CSN is made of.

Tran, Wang, Torresani, Feiszli 2019, "Video Classification with Channel-Separated Convolutional
Networks", arXiv 1904.02811, section 3.2.
"""

from torch import nn

from models.blocks.layers.video.depthwise import DepthwiseConv3d
from models.blocks.layers.video.factorised import Norm, conv3d

__all__ = ["interaction_preserved", "interaction_reduced"]


def interaction_reduced(channels: int, stride: tuple[int, int, int]) -> DepthwiseConv3d:
    """A channelwise 3x3x3 in the place of a whole one (ir-CSN)."""
    conv = DepthwiseConv3d(channels, 3, stride)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv


def interaction_preserved(channels: int, stride: tuple[int, int, int], norm: Norm) -> nn.Sequential:
    """The same behind a 1x1x1 with a norm, no rectifier between (ip-CSN)."""
    mixing = [conv3d(channels, channels), norm(channels)]
    return nn.Sequential(*mixing, interaction_reduced(channels, stride))
