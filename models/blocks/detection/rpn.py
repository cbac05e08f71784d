"""The region proposal network: where objects of any class may be.

Ren, He, Girshick, Sun 2015, "Faster R-CNN", arXiv 1506.01497, section 3.1; over a pyramid, with one
size of anchors at each level: Lin, Dollar, Girshick, He, Hariharan, Belongie 2017, "Feature Pyramid
Networks for Object Detection", arXiv 1612.03144, section 4.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation, clip_boxes_to_image, remove_small_boxes

from models.blocks.detection.anchors import Anchors
from models.blocks.detection.matching import Deltas, Matching
from models.blocks.detection.sampling import averaged, chosen
from models.blocks.detection.scene import Scene
from models.blocks.detection.suppression import suppressed

__all__ = ["Kept", "Proposed", "RegionProposals"]

LEAST_SIDE = 1e-3  # px of a proposal


@dataclass
class Kept:
    """How many proposals of an image go on.

    level: of each level, the best before suppression. image: of all levels, after it.
    """

    level: int
    image: int


@dataclass
class Proposed:
    """What the network says of the anchors of n images, level by level.

    anchors: (a, 4). objectness: logits (n, a). deltas: (n, a, 4).
    """

    anchors: list[Tensor]
    objectness: list[Tensor]
    deltas: list[Tensor]


class RegionProposals(nn.Module):
    """A pyramid's maps -> proposals.

    width: channels of the maps. convs: 3x3 before the predictions.
    anchors: of the pyramid's levels.
    samples: anchors of an image that its loss is of, half of them positive where there are so many.
    beta: distance up to which the loss of a box is quadratic; 0: nowhere.
    overlap: above which a proposal yields to a better one of its level.
    """

    def __init__(
        self,
        width: int,
        anchors: Anchors,
        convs: int = 1,
        samples: int = 256,
        beta: float = 1 / 9,
        overlap: float = 0.7,
    ) -> None:
        super().__init__()
        self.anchors, self.samples, self.beta, self.overlap = anchors, samples, beta, overlap
        self.matching, self.code = Matching(0.7, 0.3, low_quality=True), Deltas()
        layers = [Conv2dNormActivation(width, width, 3, norm_layer=None) for _ in range(convs)]
        self.convs = nn.Sequential(*layers)
        self.objectness = nn.Conv2d(width, anchors.count, 1)
        self.deltas = nn.Conv2d(width, 4 * anchors.count, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.zeros_(layer.bias)

    def forward(self, pyramid: Sequence[Tensor], canvas: tuple[int, int]) -> Proposed:
        """canvas: height and width of the images in px."""
        objectness, deltas = [], []
        for level in pyramid:
            seen = self.convs(level)
            objectness.append(self.objectness(seen).permute(0, 2, 3, 1).flatten(1))
            deltas.append(self.deltas(seen).permute(0, 2, 3, 1).reshape(len(level), -1, 4))
        return Proposed(self.anchors(pyramid, canvas), objectness, deltas)

    def losses(self, proposed: Proposed, scenes: Sequence[Scene]) -> dict[str, Tensor]:
        """{"objectness", "proposal"}: binary cross entropy, and the distance of boxes."""
        anchors = torch.cat(proposed.anchors)
        objectness = torch.cat(proposed.objectness, 1).float()
        deltas = torch.cat(proposed.deltas, 1).float()
        entropy, distance = objectness.sum() * 0, deltas.sum() * 0
        counts = []
        for image, scene in enumerate(scenes):
            matched = self.matching(scene.boxes, scene.ignore, anchors)
            positive, negative = chosen(matched, self.samples, 0.5, scene.seed, stream=0)
            known = objectness[image, torch.cat((positive, negative))]
            target = torch.zeros_like(known)
            target[: len(positive)] = 1
            entropy = entropy + F.binary_cross_entropy_with_logits(known, target, reduction="sum")
            goal = self.code.encode(scene.boxes[matched[positive]], anchors[positive])
            found = deltas[image, positive]
            distance = distance + F.smooth_l1_loss(found, goal, reduction="sum", beta=self.beta)
            counts.append(len(known))
        parts = {"objectness": entropy, "proposal": distance}
        return {name: averaged(total, counts) for name, total in parts.items()}

    @torch.no_grad()
    def proposals(
        self, proposed: Proposed, contents: Sequence[tuple[int, int]], kept: Kept
    ) -> list[Tensor]:
        """Boxes float32 (p, 4) of each image, p <= kept.image, by falling objectness."""
        scores, boxes, levels = [], [], []
        parts = zip(proposed.anchors, proposed.objectness, proposed.deltas, strict=True)
        for level, (anchors, objectness, deltas) in enumerate(parts):
            count = min(kept.level, len(anchors))
            score, places = objectness.float().topk(count, dim=1)
            goals = deltas.gather(1, places[..., None].expand(-1, -1, 4))
            box = self.code.decode(goals.flatten(0, 1), anchors[places.flatten()])
            scores.append(score)
            boxes.append(box.view(len(score), count, 4))
            levels.append(torch.full_like(places[0], level))
        every = torch.cat(boxes, 1), torch.cat(scores, 1)
        level = torch.cat(levels)
        rows = zip(*every, contents, strict=True)
        return [self._suppressed(*row, level, kept.image) for row in rows]

    def _suppressed(
        self, boxes: Tensor, scores: Tensor, content: tuple[int, int], levels: Tensor, most: int
    ) -> Tensor:
        """The best boxes of an image, of which those of other levels suppress none."""
        clipped = clip_boxes_to_image(boxes, content)
        large = remove_small_boxes(clipped, LEAST_SIDE)
        clipped = clipped[large]
        return clipped[suppressed(clipped, scores[large], levels[large], self.overlap, most)]
