"""The box branch of Faster R-CNN: the class of each region, and its box.

Girshick 2015, "Fast R-CNN", arXiv 1504.08083, sections 2.2 and 2.3; two layers over a pyramid's
regions: Lin et al. 2017, arXiv 1612.03144, section 4.2. Four convolutions and one layer, with
norms: Wu & He 2018, "Group Normalization", arXiv 1803.08494, section 4.2; from scratch: He,
Girshick, Dollar 2019, "Rethinking ImageNet Pre-training", arXiv 1811.08883, section 3.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation, clip_boxes_to_image, remove_small_boxes

from models.blocks.detection.matching import Deltas, Matching
from models.blocks.detection.regions import RegionAlign
from models.blocks.detection.sampling import averaged, chosen
from models.blocks.detection.scene import Found, Scene
from models.blocks.detection.suppression import suppressed

__all__ = ["BoxBranch", "Regions"]

LEAST_SIDE = 1e-2  # px of a box that is found


@dataclass
class Regions:
    """What an image's loss is of: its positives first, then negatives.

    boxes: (r, 4). matched: int64 (p,), the object that each positive shows.
    """

    boxes: Tensor
    matched: Tensor

    @property
    def positive(self) -> Tensor:
        """Boxes (p, 4) of the positives."""
        return self.boxes[: len(self.matched)]


class BoxBranch(nn.Module):
    """Regions -> classes and boxes.

    align: what pools regions, of 7 bins in the papers.
    width: channels of the pyramid.
    hidden: numbers of a region between the layers.
    convs: 3x3 of `width` channels, which stand for the first of the two layers; 0: none.
    norm: makes what follows each of them; null: a bias.
    samples, positive: regions of an image that its loss is of, and the share of positives at most.
    beta: as RegionProposals.
    least_score, overlap, detections: of what is found: above which score, up to which overlap with
        a better one of its class, and how many.
    """

    def __init__(
        self,
        align: RegionAlign,
        width: int,
        classes: int,
        hidden: int = 1024,
        convs: int = 0,
        norm: Callable[[int], nn.Module] | None = None,
        samples: int = 512,
        positive: float = 0.25,
        beta: float = 1 / 9,
        least_score: float = 0.05,
        overlap: float = 0.5,
        detections: int = 100,
    ) -> None:
        super().__init__()
        self.align, self.classes = align, classes
        self.samples, self.positive, self.beta = samples, positive, beta
        self.least_score, self.overlap, self.detections = least_score, overlap, detections
        self.matching, self.code = Matching(0.5, 0.5), Deltas((10.0, 10.0, 5.0, 5.0))
        self.trunk = _trunk(width, align.bins, hidden, convs, norm)
        self.cls_score = nn.Linear(hidden, classes + 1)
        self.bbox_pred = nn.Linear(hidden, 4 * classes)
        for layer, spread in ((self.cls_score, 0.01), (self.bbox_pred, 0.001)):
            nn.init.normal_(layer.weight, std=spread)
            nn.init.zeros_(layer.bias)

    def forward(
        self, pyramid: Sequence[Tensor], regions: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Logits float32 (r, classes + 1), background last, and deltas (r, classes, 4) of all."""
        seen = self.trunk(self.align(pyramid, regions))
        deltas = self.bbox_pred(seen).float()
        return self.cls_score(seen).float(), deltas.view(len(deltas), self.classes, 4)

    @torch.no_grad()
    def sampled(self, proposals: Sequence[Tensor], scenes: Sequence[Scene]) -> list[Regions]:
        """Of each image's proposals and true boxes those that the loss is of."""
        made = []
        for boxes, scene in zip(proposals, scenes, strict=True):
            # a true box is a region too: at first no proposal is near enough
            every = torch.cat((boxes, scene.boxes[~scene.ignore].to(boxes.dtype)))
            matched = self.matching(scene.boxes, scene.ignore, every)
            positive, negative = chosen(matched, self.samples, self.positive, scene.seed, stream=1)
            own = every[torch.cat((positive, negative))]
            made.append(Regions(own, matched[positive]))
        return made

    def losses(
        self, pyramid: Sequence[Tensor], regions: Sequence[Regions], scenes: Sequence[Scene]
    ) -> dict[str, Tensor]:
        """{"class", "box"}: cross entropy of regions, and the distance of positives' boxes."""
        logits, deltas = self(pyramid, [each.boxes for each in regions])
        counts = [len(each.boxes) for each in regions]
        entropy, distance = logits.sum() * 0, deltas.sum() * 0
        rows = zip(regions, scenes, logits.split(counts), deltas.split(counts), strict=True)
        for own, scene, logit, delta in rows:
            goal = scene.labels[own.matched]
            labels = torch.full_like(logit[:, 0], self.classes, dtype=torch.int64)
            labels[: len(goal)] = goal
            judged = self._judged(logit, labels, scene)
            entropy = entropy + F.cross_entropy(judged, labels, reduction="sum")
            box = self.code.encode(scene.boxes[own.matched], own.positive)
            found = delta[torch.arange(len(goal), device=goal.device), goal]
            distance = distance + F.smooth_l1_loss(found, box, reduction="sum", beta=self.beta)
        parts = {"class": entropy, "box": distance}
        return {name: averaged(total, counts) for name, total in parts.items()}

    def _judged(self, logits: Tensor, labels: Tensor, scene: Scene) -> Tensor:
        """Logits without those of classes that the image may show unsaid, but for a row's own."""
        if not scene.unjudged.any():
            return logits
        unjudged = (
            F.pad(scene.unjudged, (0, 1)).expand_as(logits).scatter(1, labels[:, None], False)
        )
        return logits.masked_fill(unjudged, -torch.inf)

    def found(
        self,
        pyramid: Sequence[Tensor],
        regions: Sequence[Tensor],
        contents: Sequence[tuple[int, int]],
    ) -> list[Found]:
        """Boxes, labels and scores of each image, of regions (r, 4) of each."""
        logits, deltas = self(pyramid, regions)
        counts = [len(each) for each in regions]
        # the background is no class that is found
        scores = logits.softmax(1)[:, :-1]
        rows = zip(scores.split(counts), deltas.split(counts), regions, contents, strict=True)
        return [self._found(*row) for row in rows]

    def _found(
        self, scores: Tensor, deltas: Tensor, regions: Tensor, content: tuple[int, int]
    ) -> Found:
        # only these are decoded, of regions times classes
        region, label = (scores > self.least_score).nonzero(as_tuple=True)
        score = scores[region, label]
        boxes = self.code.decode(deltas[region, label], regions[region])
        boxes = clip_boxes_to_image(boxes, content)
        large = remove_small_boxes(boxes, LEAST_SIDE)
        boxes, label, score = boxes[large], label[large], score[large]
        best = suppressed(boxes, score, label, self.overlap, self.detections)
        return Found(boxes[best], label[best], score[best])


def _trunk(
    width: int, bins: int, hidden: int, convs: int, norm: Callable[[int], nn.Module] | None
) -> nn.Sequential:
    """What is pooled of regions (r, width, bins, bins) -> (r, hidden)."""
    layers: list[nn.Module] = [
        Conv2dNormActivation(width, width, 3, norm_layer=norm) for _ in range(convs)
    ]
    layers += [nn.Flatten(), nn.Linear(width * bins**2, hidden), nn.ReLU(inplace=True)]
    if not convs:
        layers += [nn.Linear(hidden, hidden), nn.ReLU(inplace=True)]
    trunk = nn.Sequential(*layers)
    for layer in trunk.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_uniform_(layer.weight, a=1)
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return trunk
