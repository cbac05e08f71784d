"""One map of segments out of the instances and the classes of pixels that a network gives.

Kirillov, He, Girshick, Rother, Dollar 2019, "Panoptic Segmentation", arXiv 1801.00868, section 7;
Kirillov, Girshick, He, Dollar 2019, "Panoptic Feature Pyramid Networks", arXiv 1901.02446, section
3. The rule: models/blocks/detection/merging.py.
"""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from models.blocks.augment.draws import Draws
from models.blocks.detection.merging import Merged, merged
from models.blocks.ranges import Least, Share

__all__ = ["Panoptic"]

READS = ("boxes", "box_label", "box_score", "masks", "semantic")
PART = 4096 / (640 * 480)
AT_A_TIME = 16  # images whose masks are in memory together: a hundred of 640 x 480 are 30 MB


class Panoptic:
    """(objective, batch, draws) -> maps of segments, and the targets of a test view.

    panoptic: a list of int32 (h, w), s + 1 where the s-th segment is, 0: none is; in px of the
    images as they are stored. panoptic_label: int64 (s,), panoptic_thing: bool (s,), of each.

    overlap: an instance of which a larger share is taken by surer ones is left out, of others the
        rest is kept.
    score: an instance below it is left out.
    stuff_area: px; stuff of which fewer are left over is left out. null: as large a part of each
        image as the papers' 4096 px are of COCO's 640 x 480.
    """

    def __init__(
        self, overlap: Share = 0.5, score: Share = 0.5, stuff_area: Least | None = None
    ) -> None:
        self.overlap, self.score, self.stuff_area = overlap, score, stuff_area

    def __call__(
        self, objective: nn.Module, batch: dict[str, Any], draws: Draws
    ) -> tuple[dict[str, list[Tensor]], dict[str, Any]]:
        view = objective.test_views(batch, draws)
        segments: dict[str, list[Tensor]] = {name: [] for name in Merged._fields}
        for row in _predicted(objective, view):
            for name, column in self.merged(*row)._asdict().items():
                segments[name].append(column)
        return segments, objective.targets(view)

    def merged(
        self, boxes: Tensor, labels: Tensor, scores: Tensor, masks: Tensor, semantic: Tensor
    ) -> Merged:
        """The segments of one image, of what is predicted of it."""
        least = PART * semantic.numel() if self.stuff_area is None else self.stuff_area
        instances = boxes, labels, scores, masks
        return merged(*instances, semantic, self.overlap, self.score, least)


def _predicted(objective: nn.Module, view: dict[str, Any]) -> Iterator[tuple[Tensor, ...]]:
    """Of each image the columns of READS; ValueError where the objective gives one of them not."""
    for first in range(0, len(view["image"]), AT_A_TIME):
        part = slice(first, first + AT_A_TIME)
        columns = objective.predict({name: column[part] for name, column in view.items()})
        lacking = [name for name in READS if name not in columns]
        if lacking:
            raise ValueError(
                f"policy panoptic: a network of the objective {type(objective).__name__.lower()} "
                f"gives no {lacking[0]}: take the objective `panoptic` with the head `panoptic_fpn`"
            )
        yield from zip(*(columns[name] for name in READS), strict=True)
