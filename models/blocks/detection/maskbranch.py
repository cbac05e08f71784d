"""The mask branch of Mask R-CNN: a small map of each class in each region, apart from the others.

He, Gkioxari, Dollar, Girshick 2017, "Mask R-CNN", arXiv 1703.06870, section 3 and figure 4, right:
four 3x3, a deconvolution, a 1x1; a sigmoid for each class, and the loss on that of the true one.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation, roi_align

from models.blocks.detection.regions import RegionAlign
from models.blocks.detection.sampling import averaged

__all__ = ["MaskBranch", "MaskTrunk", "RegionMasks", "known_only", "mask_targets"]


class MaskTrunk(nn.Sequential):
    """What is pooled of regions (r, inputs, s, s) -> (r, width, 2 s, 2 s).

    convs: 3x3 before the deconvolution. norm: makes what follows each of them; null: a bias.
    """

    def __init__(
        self,
        inputs: int,
        width: int = 256,
        convs: int = 4,
        norm: Callable[[int], nn.Module] | None = None,
    ) -> None:
        channels = [inputs, *[width] * convs]
        layers: list[nn.Module] = [
            Conv2dNormActivation(before, after, 3, norm_layer=norm)
            for before, after in pairwise(channels)
        ]
        layers += [nn.ConvTranspose2d(channels[-1], width, 2, 2), nn.ReLU(inplace=True)]
        super().__init__(*layers)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if getattr(layer, "bias", None) is not None:
                nn.init.zeros_(layer.bias)


class RegionMasks(nn.Module):
    """A mask of each region, of twice as many places to a side as `align` has bins.

    A branch says by `own_logits` how it makes them, and by `teaching` which of them are learnt.

    align: what pools regions.
    """

    def __init__(self, align: RegionAlign) -> None:
        super().__init__()
        self.align = align

    def own_logits(
        self,
        pyramid: Sequence[Tensor],
        regions: Sequence[Tensor],
        labels: Sequence[Tensor],
        box_head: nn.Module | None,
    ) -> Tensor:
        """Of all images' regions, each of its own class, (r, s, s)."""
        raise NotImplementedError

    def teaching(self, known: Sequence[Tensor], labels: Sequence[Tensor]) -> Sequence[Tensor]:
        """bool (r,) of each image: whose masks are learnt, of those that are known."""
        return known

    def losses(
        self,
        pyramid: Sequence[Tensor],
        regions: Sequence[Tensor],
        labels: Sequence[Tensor],
        masks: Sequence[Tensor],
        known: Sequence[Tensor],
        box_head: nn.Module | None = None,
    ) -> dict[str, Tensor]:
        """{"mask"}: cross entropy of each pixel of the true class's map, of regions (r, 4) of each
        image, classes int64 (r,), masks bool (r, h, w) of the canvas, where known bool (r,); the
        others' loss and gradient are exactly 0."""
        teaches = self.teaching(known, labels)
        regions, labels, masks = known_only(teaches, regions, labels, masks)
        own = self.own_logits(pyramid, regions, labels, box_head).float()
        targets = mask_targets(masks, regions, own.shape[-1], self.align.aligned)
        each = F.binary_cross_entropy_with_logits(own, targets, reduction="none")
        return {"mask": averaged(each.mean((1, 2)).sum(), [len(region) for region in regions])}

    def masks(
        self,
        pyramid: Sequence[Tensor],
        regions: Sequence[Tensor],
        labels: Sequence[Tensor],
        box_head: nn.Module | None = None,
    ) -> list[Tensor]:
        """Probabilities float32 (r, s, s) of the regions of each image, of the class of each."""
        own = self.own_logits(pyramid, regions, labels, box_head)
        return list(own.float().sigmoid().split([len(region) for region in regions]))


class MaskBranch(RegionMasks):
    """Masks of each class.

    align: as RegionMasks.
    width: channels of the pyramid and of the branch's own layers.
    convs, norm: as MaskTrunk.
    """

    def __init__(
        self,
        align: RegionAlign,
        width: int,
        classes: int,
        convs: int = 4,
        norm: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__(align)
        self.trunk = MaskTrunk(width, width, convs, norm)
        self.predictor = nn.Conv2d(width, classes, 1)
        # small at first: a map for each of many classes, of which few are trained in a step
        nn.init.normal_(self.predictor.weight, std=0.001)
        nn.init.zeros_(self.predictor.bias)

    def logits(self, pyramid: Sequence[Tensor], regions: Sequence[Tensor]) -> Tensor:
        """Of all images' regions and all classes, (r, classes, s, s)."""
        return self.predictor(self.trunk(self.align(pyramid, regions)))

    def own_logits(
        self,
        pyramid: Sequence[Tensor],
        regions: Sequence[Tensor],
        labels: Sequence[Tensor],
        box_head: nn.Module | None,
    ) -> Tensor:
        logits = self.logits(pyramid, regions)
        return logits[torch.arange(len(logits), device=logits.device), torch.cat(list(labels))]


def known_only(known: Sequence[Tensor], *columns: Sequence[Tensor]) -> list[list[Tensor]]:
    """Each image's rows of which the mask is known, of each of the columns."""
    kept = []
    for column in columns:
        rows = zip(column, known, strict=True)
        kept.append([each if bool(row.all()) else each[row] for each, row in rows])
    return kept


def mask_targets(
    masks: Sequence[Tensor], regions: Sequence[Tensor], side: int, aligned: bool = True
) -> Tensor:
    """Masks bool (r, h, w) of each image in its regions (r, 4): float32 (r, side, side) of all.

    The share of each bin that is the object's, 0 to 1, by RoIAlign with a sample for each pixel.
    """
    parts, moved = [], []
    for own, boxes in zip(masks, regions, strict=True):
        corners = boxes.long().tolist()
        # only what a region needs: as floats, a canvas for each is 4 MB at 1024 px
        starts = [(max(0, x1 - 2), max(0, y1 - 2)) for x1, y1, _, _ in corners]
        shift = torch.tensor(starts, dtype=torch.float32, device=boxes.device).view(-1, 2)
        moved += (boxes.float() - shift.repeat(1, 2)).unbind()
        for mask, (left, top), (_, _, x2, y2) in zip(own, starts, corners, strict=True):
            parts.append(mask[top : y2 + 3, left : x2 + 3].float())
    if not parts:
        return masks[0].new_zeros((0, side, side), dtype=torch.float32)
    pairs = zip(parts, moved, strict=True)
    found = [roi_align(part[None, None], [box[None]], side, aligned=aligned) for part, box in pairs]
    return torch.cat(found)[:, 0]
