"""The coarse mask head of PointRend: a box head that predicts a small mask of each class.

Kirillov, Wu, He, Girshick 2020, "PointRend", arXiv 1912.08193, section 4.1: features at the points
of a grid over the box, on the finest map alone; a 2x2 convolution of stride 2, two linear layers of
1,024, and 7 x 7 logits of each class. Initial weights as in the released code (detectron2,
projects/PointRend).
"""

from collections.abc import Sequence

from torch import Tensor, nn

from models.blocks.detection.pointhead import he_normal
from models.blocks.detection.points import grid, in_boxes

__all__ = ["CoarseMask"]


class CoarseMask(nn.Module):
    """Maps (n, width, h / stride, w / stride) and boxes of each -> logits (r, classes, side, side)
    of all boxes.

    hidden: of each of `layers` linear layers.
    """

    def __init__(
        self,
        width: int,
        stride: int,
        classes: int,
        side: int = 7,
        hidden: int = 1024,
        layers: int = 2,
    ) -> None:
        super().__init__()
        self.stride, self.classes, self.side = stride, classes, side
        self.reduce = nn.Conv2d(width, width, 2, stride=2)
        he_normal(self.reduce)
        widths = [width * side**2, *[hidden] * layers]
        self.layers = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))
        for layer in self.layers:
            # Caffe2's "Xavier": uniform, of the variance 1 / inputs
            nn.init.kaiming_uniform_(layer.weight, a=1)
            nn.init.zeros_(layer.bias)
        self.predictor = nn.Linear(widths[-1], classes * side**2)
        nn.init.normal_(self.predictor.weight, std=0.001)
        nn.init.zeros_(self.predictor.bias)

    def forward(self, maps: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        cells = 2 * self.side
        places = grid(cells, cells, boxes[0])
        everywhere = [places.expand(len(one), -1, -1) for one in boxes]
        x = in_boxes(maps, self.stride, boxes, everywhere).unflatten(2, (cells, cells))
        x = self.reduce(x).relu().flatten(1)
        for layer in self.layers:
            x = layer(x).relu()
        return self.predictor(x).unflatten(1, (self.classes, self.side, self.side))
