"""PreDet: boxes that overlap are to look alike in two views of an image, all others not.

Ramanathan, Wang, Mahajan 2021, "PreDet: Large-scale Weakly Supervised Pre-training for Detection",
ICCV 2021, pages 2865-2875. After the abstract, which alone could be read: it tells of a contrast
between boxes with a high overlap and boxes without one, in two views, by the modules of Faster
R-CNN, beside the prediction of hashtags. Every number is a setting with a default of our own; the
box head is that of Ren, He, Girshick, Sun 2015, arXiv 1506.01497, on RoIAlign (He, Gkioxari,
Dollar, Girshick 2017, arXiv 1703.06870, section 3). Only the backbone's weights are kept.

The hashtags beside it are a sum of two objectives over one trunk: {name: weighted, first: {name:
hashtags}, second: {name: predet}}.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.blocks.augment.crops import Crops
from models.blocks.augment.draws import Draws, moved
from models.blocks.augment.regions import Placed, clipped, overlaps, random_boxes
from models.blocks.gather import first_row, gather, whole_mean
from models.blocks.layers.roi_align import roi_align
from models.blocks.methods.multiview import MultiView, wide
from models.blocks.methods.projector import projector
from models.blocks.ranges import Count, Part, Pixels, Plug, Positive, Rising, Share, Width

__all__ = ["PreDet", "alike", "box_contrast"]


class PreDet(MultiView):
    """image (n, 2, 3, h, w); regions and places (n, 2, b, 4), visible (n, 2, b): boxes of each.

    views: what makes the views, and tells their crops; null: crops as MoCo v2 has them.
    boxes: how many random boxes of each image there are.
    box_scale: range of a box's share of the image area.
    box_ratio: range of its width over height.
    smallest: px of a box's shorter side in a view, below which it is dropped there.
    positive_iou: from which overlap on, in the image, two boxes of two views are to look alike.
    negative_iou: below which they are not to; boxes of one image in between are neither.
    maps: how many of the backbone's last maps a box is cut from.
    pooled_size: side of what is cut from each.
    hidden: channels of the two layers of the box head, and within the projector.
    width: numbers that a projection has.
    temperature: that similarities are divided by.
    """

    inputs: ClassVar[tuple[str, ...]] = (*MultiView.inputs, "regions", "places", "visible")

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Module,
        views: Plug[Callable, "views"] | None = None,
        boxes: Count = 16,
        box_scale: Rising[Part] = (0.05, 0.5),
        box_ratio: Rising[Positive] = (0.5, 2.0),
        smallest: Positive = 4.0,
        positive_iou: Part = 0.5,
        negative_iou: Share = 0.5,
        maps: Count = 1,
        pooled_size: Pixels = 7,
        hidden: Width = 1024,
        width: Width = 128,
        temperature: Positive = 0.2,
    ) -> None:
        super().__init__(backbone, head, views or Crops)
        if not hasattr(self.augment, "with_crops"):
            raise ValueError(
                f"predet: {type(self.augment).__name__} does not tell where its views lie in an "
                "image: take views that do, as crops"
            )
        if negative_iou > positive_iou:
            raise ValueError(
                f"predet: negative_iou {negative_iou} is above positive_iou {positive_iou}, and a "
                "pair in between would be both: lower it"
            )
        if maps > len(backbone.channels):
            raise ValueError(
                f"predet: maps {maps} of a backbone that has {len(backbone.channels)}: lower it"
            )
        self.boxes, self.box_scale, self.box_ratio = boxes, tuple(box_scale), tuple(box_ratio)
        self.smallest, self.maps, self.pooled_size = smallest, maps, pooled_size
        self.bounds, self.temperature = (negative_iou, positive_iou), temperature
        inputs = sum(backbone.channels[-maps:]) * pooled_size**2
        # without norms, as in Faster R-CNN: a box is projected alike whatever stands beside it
        self.box_head = nn.Sequential(projector((inputs, hidden, hidden), norm=False), nn.ReLU())
        self.projector = projector((hidden, hidden, width), norm=False)

    def views(self, batch: dict[str, Tensor], draws: Draws) -> dict[str, Tensor]:
        """Two views, and the same random boxes in both: in px of each, and of the image."""
        images = batch["image"]
        n, image = len(images), tuple(images.shape[1:3])
        made, theta = self.augment.with_crops(batch, draws)
        made["image"] = made["image"][:, :2]
        view = tuple(made["image"].shape[-2:])
        drawn = random_boxes(n, self.boxes, self.box_scale, self.box_ratio, image, draws)
        regions, places = [], []
        for place in (Placed.of(theta[:, number], image) for number in range(2)):
            regions.append(clipped(place.into(drawn, view), view))
            places.append(place.back(regions[-1], view))
        seen = torch.stack(regions, 1)
        visible = (seen[..., 2:] - seen[..., :2]).amin(3) >= self.smallest
        columns = {"regions": seen, "places": torch.stack(places, 1), "visible": visible}
        return made | {name: moved(column, images.device) for name, column in columns.items()}

    def box_features(self, maps: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """Projections (n, b, width) of boxes (n, b, 4), in px of the images."""
        kept, strides = maps[-self.maps :], self.backbone.strides[-self.maps :]
        found = [
            roi_align(wide(each), boxes / stride, self.pooled_size)
            for each, stride in zip(kept, strides, strict=True)
        ]
        return self.projector(self.box_head(torch.cat(found, 2).flatten(2)))

    def embedded(self, images: Tensor) -> Tensor:
        """Projections (n, width) of whole images, a box each."""
        whole = images.new_tensor([0, 0, images.shape[3], images.shape[2]])
        return self.box_features(self.backbone(images), whole.expand(len(images), 1, 4))[:, 0]

    def forward(self, batch: dict[str, Tensor], phase: str = "") -> dict[str, Tensor]:
        flat = batch["image"].flatten(0, 1).contiguous(memory_format=torch.channels_last)
        found = self.box_features(self.backbone(flat), batch["regions"].flatten(0, 1))
        boxes = F.normalize(wide(found), dim=2).unflatten(0, batch["visible"].shape[:2])
        positive, ignored = alike(batch["places"], batch["visible"], *self.bounds)
        rest = batch["visible"], positive, ignored
        loss, share = box_contrast(boxes, *rest, self.temperature)
        return {"loss": loss, "compared": share}


def alike(places: Tensor, visible: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Which boxes of the first view (rows) and the second one (columns) are one: (n, b, b).

    And which are neither one nor two: overlaps from low to below high.
    """
    overlap = overlaps(*places.unbind(1))
    both = visible[:, 0, :, None] & visible[:, 1, None, :]
    return both & (overlap >= high), both & (overlap >= low) & (overlap < high)


def box_contrast(
    boxes: Tensor, visible: Tensor, positive: Tensor, ignored: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """InfoNCE of boxes (n, 2, b, d) of length one against those of the other view, of all workers.

    Mean over the boxes that have a positive, and over its positives; and the share of such boxes.
    """
    n, start = len(boxes), first_row(boxes)
    every, there = gather(boxes), gather(visible.to(boxes.dtype)) > 0
    own = torch.arange(n, device=boxes.device)
    pairs = positive, ignored
    sums, counts = boxes.new_zeros(n), boxes.new_zeros(n)
    for side in range(2):
        good, neither = (pair if side == 0 else pair.mT for pair in pairs)
        scores = torch.einsum("ibd,jcd->ibjc", boxes[:, side], every[:, 1 - side]) / temperature
        out = (~there[:, 1 - side]).expand(n, good.shape[1], *there[:, 1 - side].shape).clone()
        out[own, :, own + start] |= neither
        # finite: a row without any candidate would have no gradient but NaN
        scores = scores.masked_fill(out, torch.finfo(scores.dtype).min)
        total = scores.flatten(2).logsumexp(2)
        # those of an image among its own boxes once more, rather than picked out
        mine = torch.einsum("ibd,icd->ibc", boxes[:, side], boxes[:, 1 - side]) / temperature
        lacking = (total[:, :, None] - mine).where(good, 0)
        of = good.sum(2)
        sums = sums + (lacking.sum(2) / of.clamp(min=1)).sum(1)
        counts += (of > 0).sum(1)
    # engine/training averages over images and workers: over all boxes it is this
    mean = whole_mean(counts)
    return sums.mean() / mean.clamp(min=1e-6), counts.mean() / (2 * visible.shape[2])
