"""What a dense detector says of all anchors of a batch, level by level, and which are to find what.

The logits stay as their convolution gives them, classes before places: laying out all of them by
anchor, to pick a few, takes as long as their loss.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, log

import torch
from torch import Tensor
from torchvision.ops import clip_boxes_to_image

from models.blocks.detection.matching import NEITHER, Deltas, Matching
from models.blocks.detection.scene import Found, Scene
from models.blocks.detection.suppression import best, solid, suppressed

__all__ = ["Assigned", "Kept", "Level", "found_in", "laid_out"]


@dataclass
class Level:
    """A level of n images, with a anchors at each of its h * w places.

    anchors: (h * w * a, 4), by row, column, anchor. logits: float32 (n, a, classes, h, w).
    deltas: float32 (n, a, 4, h, w).
    """

    anchors: Tensor
    logits: Tensor
    deltas: Tensor


@dataclass
class Kept:
    """Which boxes are found.

    least: above which score. level: at most so many of a level, before suppression. overlap: with
    a better one of its class, up to which a box stays. image: at most so many of an image.
    """

    least: float
    level: int
    overlap: float
    image: int


class Assigned:
    """The anchors of all levels that are to find an object of their image.

    images, places: int64 (p,), which image's and which anchor, counted through all levels.
    labels: int64 (p,). boxes: (p, 4). neither: bool (n, anchors), of which nothing is learnt.
    counts: int64 (n,), positives of each image.
    """

    def __init__(self, matching: Matching, anchors: Tensor, scenes: Sequence[Scene]) -> None:
        matches = [matching(scene.boxes, scene.ignore, anchors) for scene in scenes]
        own = [matched[matched >= 0] for matched in matches]
        pairs = list(zip(scenes, own, strict=True))
        self.labels = torch.cat([scene.labels[places] for scene, places in pairs])
        self.boxes = torch.cat([scene.boxes[places] for scene, places in pairs])
        whole = torch.stack(matches)
        self.images, self.places = (whole >= 0).nonzero(as_tuple=True)
        self.neither, self.counts = whole == NEITHER, (whole >= 0).sum(1)

    def by_level(
        self, levels: Sequence[Level]
    ) -> Iterator[tuple[Level, Tensor, tuple[Tensor, ...]]]:
        """Each level, `neither` bool (n, a, h, w) of its anchors, and the places (image, anchor,
        class, row, column) of its positives in its logits.
        """
        start = 0
        for level in levels:
            stop = start + len(level.anchors)
            shape = (*level.logits.shape[3:], level.logits.shape[1])
            here = (self.places >= start) & (self.places < stop)
            y, x, anchor = torch.unravel_index(self.places[here] - start, shape)
            neither = self.neither[:, start:stop].unflatten(1, shape).permute(0, 3, 1, 2)
            yield level, neither, (self.images[here], anchor, self.labels[here], y, x)
            start = stop


def laid_out(deltas: Tensor) -> Tensor:
    """Deltas (n, a, 4, h, w) in the order of the anchors (n, h * w * a, 4)."""
    return deltas.permute(0, 3, 4, 1, 2).flatten(1, 3)


def found_in(
    levels: Sequence[Level], image: int, content: tuple[int, int], code: Deltas, kept: Kept
) -> Found:
    """What is found in one image of the batch; content: its height and width within the canvas."""
    parts = [_candidates(level, image, code, kept) for level in levels]
    boxes, scores, labels = [torch.cat(part) for part in zip(*parts, strict=True)]
    boxes = clip_boxes_to_image(boxes, content)
    whole = solid(boxes)
    boxes, scores, labels = boxes[whole], scores[whole], labels[whole]
    stay = suppressed(boxes, scores, labels, kept.overlap, kept.image)
    return Found(boxes[stay], labels[stay], scores[stay])


def _candidates(
    level: Level, image: int, code: Deltas, kept: Kept
) -> tuple[Tensor, Tensor, Tensor]:
    """The best boxes (m, 4) of a level, their scores and classes (m,)."""
    logits = level.logits[image]
    # of few logits the score is wanted
    anchor, label, y, x = (logits > _logit(kept.least)).nonzero(as_tuple=True)
    count, classes, _, width = logits.shape
    place = (y * width + x) * count + anchor
    # by anchor, as equal scores are to stand
    order = (place * classes + label).argsort()
    scores = logits[anchor, label, y, x].sigmoid()[order]
    chosen = best(scores, kept.level)
    order = order[chosen]
    deltas = level.deltas[image][anchor[order], :, y[order], x[order]]
    return code.decode(deltas, level.anchors[place[order]]), scores[chosen], label[order]


def _logit(share: float) -> float:
    if share in (0, 1):
        return inf if share else -inf
    return log(share / (1 - share))
