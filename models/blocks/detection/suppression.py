"""Of boxes that overlap and are of one class only the most likely stays: non-maximum suppression.

Felzenszwalb, Girshick, McAllester, Ramanan 2010, section 5; torchvision's kernel. Ties are broken
by place, so that the same network finds the same objects each time.
"""

import torch
from torch import Tensor
from torchvision.ops import batched_nms

__all__ = ["best", "solid", "suppressed"]


def best(scores: Tensor, most: int, floor: float | None = None) -> Tensor:
    """Places of at most `most` of the scores (n,) that are above the floor, by falling score.

    Of equal scores the first come first.
    """
    places = torch.arange(len(scores), device=scores.device)
    if floor is not None:
        places = (scores > floor).nonzero()[:, 0]
        scores = scores[places]
    if most < len(scores):
        # few of many: sorting all takes longer
        last = scores.topk(most).values[-1:]
        above = (scores >= last).nonzero()[:, 0]
        places, scores = places[above], scores[above]
    return places[scores.argsort(descending=True, stable=True)[:most]]


def solid(boxes: Tensor) -> Tensor:
    """Which of boxes (n, 4) have an area, bool (n,)."""
    return (boxes[:, 2:] > boxes[:, :2]).all(1)


def suppressed(
    boxes: Tensor, scores: Tensor, labels: Tensor, overlap: float, most: int | None = None
) -> Tensor:
    """Places of the boxes (n, 4) that stay, by falling score, int64 (m,), at most `most`.

    A box goes where one of its class with a higher score stays that it overlaps (intersection over
    union) by more than `overlap`. labels: int64 (n,), or what else may not suppress each other.
    """
    order = best(scores, len(scores))
    kept = batched_nms(boxes[order].float(), scores[order].float(), labels[order], overlap)
    # of boxes in order, so that those that stay are in it too, ties with them
    return order[kept.sort().values[:most]]
