"""The mask branch of Mask^X R-CNN: a class's masks by weights that its box weights foretell.

Hu, Dollar, He, Darrell, Girshick 2018, "Learning to Segment Every Thing", arXiv 1711.10370: w_seg =
T(w_det), equation 1 in section 3.1, and the mask that no class has to itself, section 3.4. T is
learnt on classes with masks and holds for all, so that a class that never had one gets masks too.
Numbers are those of the released code (seg_every_thing, lib/modeling/mask_rcnn_heads.py).
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from models.blocks.detection.maskbranch import MaskTrunk, RegionMasks
from models.blocks.detection.regions import RegionAlign

__all__ = ["SLOPE", "Source", "TransferBranch", "WeightTransfer", "class_weights"]

SLOPE = 0.1  # of the LeakyReLU between the layers
Source = Literal["cls", "box", "cls_box"]


def class_weights(box_head: nn.Module, source: Source) -> Tensor:
    """What a box branch has learnt of each class, float (classes, inputs).

    Of `cls` the row of its score, (hidden,); of `box` those of its box, (4 hidden,), class by
    class; of `cls_box` both. Background, the last row of `cls_score`, is no class.
    """
    boxes = box_head.bbox_pred.weight
    scores = box_head.cls_score.weight
    classes, hidden = len(boxes) // 4, boxes.shape[1]
    parts = {"cls": scores[:classes], "box": boxes.reshape(classes, 4 * hidden)}
    return torch.cat([parts[name] for name in source.split("_")], 1)


class WeightTransfer(nn.Sequential):
    """T: class weights (classes, inputs) -> weights of a 1x1 without bias (classes, outputs).

    layers: linear ones of `outputs` numbers, with LeakyReLU between them.
    """

    def __init__(self, inputs: int, outputs: int, layers: int = 2) -> None:
        sizes = [inputs, *[outputs] * layers]
        parts: list[nn.Module] = []
        for before, after in pairwise(sizes):
            parts += [nn.Linear(before, after), nn.LeakyReLU(SLOPE)]
        super().__init__(*parts[:-1])
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(part.bias)


class TransferBranch(RegionMasks):
    """Masks by T, or by one mask for all classes.

    align: as RegionMasks. width: channels of the pyramid and of the branch.
    transfer: T; None: the control, one mask of a region whatever its class.
    source: what of the box branch T is given. taught: bool (classes,), whose masks teach.
    detached: whether the loss of masks leaves the weights of the box branch alone.
    mlp: whether a mask of the whole region by one linear layer is added, the same for all classes.
    convs, norm: as MaskTrunk.
    """

    def __init__(
        self,
        align: RegionAlign,
        width: int,
        transfer: WeightTransfer | None,
        source: Source,
        taught: Tensor,
        detached: bool = True,
        mlp: bool = False,
        convs: int = 4,
        norm: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__(align)
        self.source, self.detached = source, detached
        self.trunk, self.transfer = MaskTrunk(width, width, convs, norm), transfer
        self.register_buffer("taught", taught, persistent=False)
        places = (2 * align.bins) ** 2
        self.single = nn.Conv2d(width, 1, 1) if transfer is None else None
        self.whole = nn.Linear(width * places, places) if mlp else None
        for part in filter(None, (self.single, self.whole)):
            nn.init.normal_(part.weight, std=0.001)
            nn.init.zeros_(part.bias)

    def own_logits(
        self,
        pyramid: Sequence[Tensor],
        regions: Sequence[Tensor],
        labels: Sequence[Tensor],
        box_head: nn.Module,
    ) -> Tensor:
        seen = self.trunk(self.align(pyramid, regions))
        if self.single is not None:
            own = self.single(seen)[:, 0]
        else:
            weights = class_weights(box_head, self.source)
            weights = self.transfer(weights.detach() if self.detached else weights)
            own = torch.einsum("rchw,rc->rhw", seen, weights[torch.cat(list(labels))])
        if self.whole is not None:
            own = own + self.whole(seen.flatten(1)).view_as(own)
        return own

    def teaching(self, known: Sequence[Tensor], labels: Sequence[Tensor]) -> Sequence[Tensor]:
        """Those of classes that teach."""
        pairs = zip(known, labels, strict=True)
        return [each & self.taught[label] for each, label in pairs]
