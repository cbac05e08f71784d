"""Projectors and predictors: perceptrons between the features of a backbone and a loss."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

__all__ = ["projector"]


def projector(
    widths: Sequence[int],
    norm: bool = True,
    last_norm: bool = False,
    bias: bool = True,
    last_bias: bool = True,
    affine: bool = True,
) -> nn.Sequential:
    """Linear layers from each width to the next, with batch norm and ReLU between them.

    norm: whether there is batch norm. last_norm: also after the last layer.
    bias: of all layers but the last. last_bias: of the last.
    affine: whether the norm after the last layer has a scale and a shift of its own.
    """
    layers: list[nn.Module] = []
    *inner, last = pairwise(widths)
    for inputs, outputs in inner:
        layers.append(nn.Linear(inputs, outputs, bias=bias))
        if norm:
            layers.append(nn.BatchNorm1d(outputs))
        layers.append(nn.ReLU(inplace=True))
    layers.append(nn.Linear(*last, bias=last_bias))
    if last_norm:
        layers.append(nn.BatchNorm1d(last[1], affine=affine))
    return nn.Sequential(*layers)
