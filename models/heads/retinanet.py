"""RetinaNet: class and box of every anchor of a feature pyramid at once, by the focal loss.

Lin, Goyal, Girshick, He, Dollar 2017, "Focal Loss for Dense Object Detection", arXiv 1708.02002,
section 4.
"""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation, generalized_box_iou_loss

from models.blocks.detection.anchors import Anchors, Rounding
from models.blocks.detection.dense import Assigned, Kept, Level, found_in, laid_out
from models.blocks.detection.focal import focal_loss, prior_bias
from models.blocks.detection.matching import Deltas, Matching
from models.blocks.detection.pyramid import Extra, Norm, Pyramid
from models.blocks.detection.scene import Found, Scene, SceneHead
from models.blocks.gather import gather
from models.blocks.layers.norms import group_norm
from models.blocks.ranges import (
    Count,
    Depth,
    Fraction,
    Least,
    Listed,
    Positive,
    Share,
    Whole,
    Width,
)

__all__ = ["RetinaNet"]


class RetinaNet(SceneHead):
    """Maps of a backbone -> boxes of the objects that they show, with classes and scores.

    width: channels of the pyramid and of the towers on top of it.
    lowest: first of the backbone's maps that is used, counted from 0: the paper's C3 is the second.
    extra: levels above the last: `convs_c5` two by convolutions of the backbone's last map (the
        paper, detectron2), `convs_p5` two of the pyramid's last level (torchvision's first), `pool`
        one by max pooling, or `none`.
    norm: after the convolutions of the pyramid.
    tower_norm: after those of the towers, which all levels share: not batch norm.
    convs: 3x3 of each tower.
    anchor: side of the smallest square anchor of each level, in strides: 4 is 32 px at a stride
        of 8.
    scales: sizes of anchors per octave.
    ratios: of anchors, height over width.
    rounding: `exact` anchors (the paper, detectron2) or those of `torchvision`, in whole px.
    foreground: overlap (intersection over union) from which on an anchor is to find an object; the
        anchors that overlap an object most are too.
    background: overlap below which an anchor is to find none; between the two nothing is learnt.
    prior: probability of each class that the network starts with.
    alpha: weight of positives in the focal loss, of negatives 1 - alpha; null: 1 for both.
    gamma: how much less counts what is told apart easily.
    box_loss: `smooth_l1` of the anchor's way to the box, or `giou` of the two boxes.
    beta: distance up to which `smooth_l1` is quadratic; 0: nowhere, so that it is L1.
    normaliser: what the losses are divided by: the positive anchors of each `image`, of the whole
        `batch` (the paper), or their moving `average` over steps, .9 from 100 on (detectron2). Only
        the first can be learnt in micro-batches.
    least_score: above which a box is found.
    candidates: boxes of a level, the best, among which those are left out that overlap better ones.
    overlap: with a better box of its class, up to which a box is found.
    detections: boxes of an image at the most.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        classes: int,
        width: Width = 256,
        lowest: Whole = 1,
        extra: Extra = "convs_c5",
        norm: Norm = "none",
        tower_norm: Literal["none", "group"] = "none",
        convs: Depth = 4,
        anchor: Positive = 4.0,
        scales: Count = 3,
        ratios: Listed[Positive] = (0.5, 1.0, 2.0),
        rounding: Rounding = "exact",
        foreground: Share = 0.5,
        background: Share = 0.4,
        prior: Fraction = 0.01,
        alpha: Share | None = 0.25,
        gamma: Least = 2.0,
        box_loss: Literal["smooth_l1", "giou"] = "smooth_l1",
        beta: Least = 0.0,
        normaliser: Literal["image", "batch", "average"] = "batch",
        least_score: Share = 0.05,
        candidates: Count = 1000,
        overlap: Share = 0.5,
        detections: Count = 100,
    ) -> None:
        super().__init__()
        self.strides, self.classes, self.alpha, self.gamma = list(strides), classes, alpha, gamma
        self.box_loss, self.beta, self.normaliser = box_loss, beta, normaliser
        self.exact_in_parts = normaliser == "image"
        self.kept = Kept(least_score, candidates, overlap, detections)
        self.pyramid = Pyramid(channels, strides, width, lowest, extra, norm)
        self.anchors = Anchors(self.pyramid.strides, anchor, scales, ratios, rounding)
        self.matching, self.code = Matching(foreground, background, low_quality=True), Deltas()
        count = self.anchors.count
        self.class_tower = _tower(width, convs, tower_norm, count * classes)
        self.box_tower = _tower(width, convs, tower_norm, count * 4)
        nn.init.constant_(self.class_tower[-1].bias, prior_bias(prior))
        self.renewed: Tensor | None = None
        if normaliser == "average":
            self.register_buffer("positives", torch.tensor(100.0))

    def predicted(self, maps: Sequence[Tensor]) -> list[Level]:
        """What each level says of its anchors."""
        levels, count = self.pyramid(maps), self.anchors.count
        found = []
        for level, anchors in zip(levels, self.anchors(levels, self.canvas(maps)), strict=True):
            logits = self.class_tower(level).float().unflatten(1, (count, self.classes))
            deltas = self.box_tower(level).float().unflatten(1, (count, 4))
            found.append(Level(anchors, logits, deltas))
        return found

    def losses(self, maps: Sequence[Tensor], scenes: Sequence[Scene]) -> dict[str, Tensor]:
        """{"loss", "classes", "boxes"}: the sum, the focal loss and that of the boxes."""
        levels = self.predicted(maps)
        anchors = torch.cat([level.anchors for level in levels])
        assigned = Assigned(self.matching, anchors, scenes)
        shares = self._shares(assigned.counts)
        unjudged = torch.stack([scene.unjudged for scene in scenes])
        parts = []
        for level, neither, positives in assigned.by_level(levels):
            weights = (~neither * shares[:, None, None, None])[:, :, None]
            if unjudged.any():
                weights = weights * ~unjudged[:, None, :, None, None]
            gains = shares[positives[0]]
            parts.append(
                focal_loss(level.logits, positives, weights, gains, self.alpha, self.gamma)
            )
        deltas = torch.cat([laid_out(level.deltas) for level in levels], 1)
        distances = self._distances(
            deltas[assigned.images, assigned.places], assigned.boxes, anchors[assigned.places]
        )
        classes, boxes = torch.stack(parts).sum(), (distances * shares[assigned.images]).sum()
        return {"loss": classes + boxes, "classes": classes, "boxes": boxes}

    def _shares(self, counts: Tensor) -> Tensor:
        """What the losses of each image are multiplied by (n,), given its positive anchors."""
        counts = counts.float()
        if self.normaliser == "image":
            return 1 / counts.clamp(min=1) / len(counts)
        every = gather(counts)
        divisor = every.sum().clamp(min=1)
        if self.normaliser == "average":
            # kept by after_step: what a pass only looks at may not change what the next one sees
            divisor = self.renewed = 0.9 * self.positives + 0.1 * divisor
        # the losses of workers are averaged, by their images
        return (len(every) / len(counts) / divisor).expand(len(counts))

    def _distances(self, deltas: Tensor, boxes: Tensor, anchors: Tensor) -> Tensor:
        """The loss (p,) of each positive anchor's box."""
        if self.box_loss == "giou":
            return generalized_box_iou_loss(self.code.decode(deltas, anchors), boxes)
        goals = self.code.encode(boxes, anchors)
        return F.smooth_l1_loss(deltas, goals, reduction="none", beta=self.beta).sum(1)

    def after_step(self) -> None:
        """Keep the moving average of positives, once the weights are updated."""
        if self.normaliser == "average" and self.renewed is not None:
            self.positives.copy_(self.renewed)

    @torch.no_grad()
    def found(self, maps: Sequence[Tensor], contents: Sequence[tuple[int, int]]) -> list[Found]:
        levels = self.predicted(maps)
        return [found_in(levels, i, size, self.code, self.kept) for i, size in enumerate(contents)]


def _tower(width: int, convs: int, norm: str, outputs: int) -> nn.Sequential:
    """3x3 convolutions with ReLU, and one to the outputs; all start as section 4.1 has it."""
    norms = {"none": None, "group": group_norm}
    layers = [Conv2dNormActivation(width, width, 3, norm_layer=norms[norm]) for _ in range(convs)]
    tower = nn.Sequential(*layers, nn.Conv2d(width, outputs, 3, padding=1))
    for layer in tower.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight, std=0.01)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return tower
