"""What is found in several views of one image, put back into its own pixels and merged.

Radosavovic, Dollár, Girshick, Gkioxari, He 2018, "Data Distillation: Towards Omni-Supervised
Learning", arXiv 1712.04440, section 3: the inverse of each transform comes before the merging.
Boxes are merged by non-maximum suppression of the union, or voted on: Gidaris, Komodakis 2015,
"Object detection via a multi-region and semantic segmentation-aware CNN model", arXiv 1505.01749,
section 5.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import batched_nms, box_iou

from models.blocks.detection.scene import Found

__all__ = ["Sides", "averaged", "boxes_in", "boxes_out", "merged", "probabilities_out", "voted"]

Sides = tuple[int, int]  # height, width


def boxes_out(boxes: Tensor, content: Sides, stored: Sides, mirrored: bool) -> Tensor:
    """Boxes (m, 4) in px of a view's content -> in px of the stored image, both (height, width)."""
    left, top, right, bottom = boxes.unbind(1)
    if mirrored:
        left, right = content[1] - right, content[1] - left
    x, y = stored[1] / content[1], stored[0] / content[0]
    return torch.stack([left * x, top * y, right * x, bottom * y], 1)


def boxes_in(boxes: Tensor, content: Sides, stored: Sides, mirrored: bool) -> Tensor:
    """The way back: boxes (m, 4) in px of the stored image -> in px of a view's content."""
    placed = boxes_out(boxes, stored, content, False)
    return boxes_out(placed, content, content, True) if mirrored else placed


def merged(parts: list[Found], overlap: float, floor: float, most: int) -> Found:
    """The best of all that was found of one image, suppressed class by class.

    At most `most`, by falling score, all above `floor`.
    """
    boxes, labels, scores = union(parts)
    sure = torch.nonzero(scores > floor).flatten()
    kept = sure[batched_nms(boxes[sure].float(), scores[sure].float(), labels[sure], overlap)]
    kept = kept[:most]
    return Found(boxes[kept], labels[kept], scores[kept])


def union(parts: list[Found]) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes, labels and scores of all parts, one after the other."""
    columns = zip(*((part.boxes, part.labels, part.scores) for part in parts), strict=True)
    return tuple(map(torch.cat, columns))


def voters(best: Found, parts: list[Found], overlap: float) -> Tensor:
    """bool (m, all): which boxes of the parts are of each one's class, and overlap it enough."""
    boxes, labels, _ = union(parts)
    # a box of no area overlaps nothing, not even itself
    itself = (best.boxes[:, None] == boxes).all(2)
    near = (box_iou(best.boxes, boxes) >= overlap) | itself
    return near & (best.labels[:, None] == labels)


def voted(best: Found, parts: list[Found], overlap: float) -> Found:
    """Each box as the mean of those that overlap it, by their scores; scores stay."""
    boxes, _, scores = union(parts)
    weights = voters(best, parts, overlap) * scores
    mean = weights @ boxes / weights.sum(1, keepdim=True)
    return Found(mean, best.labels, best.scores)


def regridded(masks: Tensor, boxes: Tensor, onto: Tensor) -> Tensor:
    """Grids (m, s, s) over boxes (m, 4) -> over other boxes (m, 4), 0 outside of their own."""
    side = masks.shape[-1]
    centres = (torch.arange(side, device=masks.device, dtype=masks.dtype) + 0.5) / side
    start, size = boxes[:, :2], (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-6)
    first, extent = (onto[:, :2] - start) / size, (onto[:, 2:] - onto[:, :2]) / size
    # shares of the own box, x and y apart, (m, s) each
    x, y = (first[:, [axis]] + centres * extent[:, [axis]] for axis in (0, 1))
    places = torch.stack(torch.broadcast_tensors(x[:, None], y[:, :, None]), 3) * 2 - 1
    # where a border is halfway to the zeros beside it, one that stays in its place would change
    inside = ((places >= -1) & (places <= 1)).all(3)
    sampled = F.grid_sample(
        masks[:, None], places.to(masks.dtype), padding_mode="border", align_corners=False
    )
    return sampled[:, 0] * inside


def averaged(best: Found, onto: Tensor, parts: list[Found], overlap: float) -> Tensor:
    """Grids (m, s, s) over boxes `onto` (m, 4): means of the masks of all that vote for the best.

    onto: the boxes of the best, or what they were voted to be.
    """
    boxes, *_ = union(parts)
    masks = torch.cat([part.masks for part in parts])
    means = masks.new_zeros(len(best.boxes), *masks.shape[1:])
    for place, some in enumerate(voters(best, parts, overlap)):
        mine = onto[place].expand(int(some.sum()), 4)
        means[place] = regridded(masks[some], boxes[some], mine).mean(0)
    return means


def probabilities_out(
    scores: Tensor, canvas: Sides, content: Sides, stored: Sides, mirrored: bool
) -> Tensor:
    """Scores of classes of a view (classes, h, w) -> probabilities (classes, height, width).

    Of the stored image; of a class that the head does not tell they are 0. canvas, content and
    stored are (height, width).
    """
    told = torch.isfinite(scores).flatten(1).all(1)
    whole = scores.new_zeros(len(scores), *stored, dtype=torch.float32)
    if not told.any():
        return whole
    # the bilinear mean of infinities is none
    seen = _resized(scores[told].float(), canvas)[:, : content[0], : content[1]]
    seen = _resized(seen, stored) if content != stored else seen
    whole[told] = (seen.flip(2) if mirrored else seen).softmax(0)
    return whole


def _resized(maps: Tensor, sides: Sides) -> Tensor:
    return F.interpolate(maps[None], size=sides, mode="bilinear", align_corners=False)[0]
