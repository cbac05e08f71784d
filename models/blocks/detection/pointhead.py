"""The point head of PointRend: what a point is, from fine features and a coarse prediction.

Kirillov, Wu, He, Girshick 2020, "PointRend", arXiv 1912.08193, section 3.3: one multi-layer
perceptron, with the same weights for all points; initial weights as in the released code
(detectron2, projects/PointRend): He's normal of the outputs, N(0, 0.001) in the last layer.
"""

import torch
from torch import Tensor, nn

__all__ = ["PointHead", "he_normal"]


def he_normal(layer: nn.Module) -> None:
    """He et al. 2015's normal of a layer's outputs, arXiv 1502.01852; biases 0."""
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    nn.init.zeros_(layer.bias)


class PointHead(nn.Module):
    """Features (r, channels, p) and coarse logits (r, classes, p) of points -> logits
    (r, classes, p).

    layers: hidden ones, of `hidden` channels each. again: whether each layer after the first is
    given the coarse logits again.
    """

    def __init__(
        self, channels: int, classes: int, hidden: int = 256, layers: int = 3, again: bool = True
    ) -> None:
        super().__init__()
        self.again = again
        more = classes if again else 0
        widths = [channels + classes, *[hidden + more] * (layers - 1)]
        self.layers = nn.ModuleList(nn.Conv1d(width, hidden, 1) for width in widths)
        self.predictor = nn.Conv1d(hidden + more, classes, 1)
        for layer in self.layers:
            he_normal(layer)
        nn.init.normal_(self.predictor.weight, std=0.001)
        nn.init.zeros_(self.predictor.bias)

    def forward(self, features: Tensor, coarse: Tensor) -> Tensor:
        x = torch.cat([features, coarse], 1)
        for layer in self.layers:
            x = layer(x).relu()
            x = torch.cat([x, coarse.to(x.dtype)], 1) if self.again else x
        return self.predictor(x)
