"""Non-maximum suppression: brute force, classes apart, ties, nothing."""

import pytest
import torch
from torchvision.ops import box_iou

from models.blocks.detection.suppression import best, solid, suppressed


def scattered(count, classes, seed=0, levels=40):
    """Boxes, scores with many ties, labels."""
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 60
    boxes = torch.cat((corner, corner + 5 + torch.rand(count, 2, generator=generator) * 30), 1)
    scores = torch.randint(levels, (count,), generator=generator) / levels
    return boxes, scores, torch.randint(classes, (count,), generator=generator)


def by_hand(boxes, scores, labels, overlap):
    rivals = (box_iou(boxes, boxes) > overlap) & (labels[:, None] == labels)
    rivals, kept = rivals.numpy(), []
    for place in sorted(range(len(boxes)), key=lambda i: (-scores[i].item(), i)):
        if not rivals[place, kept].any():
            kept.append(place)
    return kept


@pytest.mark.parametrize(("count", "classes"), [(1, 1), (200, 1), (300, 7), (1100, 40)])
@pytest.mark.parametrize("overlap", [0.3, 0.5])
def test_as_by_hand(count, classes, overlap):
    given = scattered(count, classes)
    expected = by_hand(*given, overlap)
    assert suppressed(*given, overlap).tolist() == expected
    assert suppressed(*given, overlap, 5).tolist() == expected[:5]


def test_nothing_and_boxes_without_area():
    empty = torch.empty(0, 4), torch.empty(0), torch.empty(0, dtype=torch.int64)
    assert suppressed(*empty, 0.5, 10).tolist() == []
    boxes = torch.tensor([[0.0, 0, 1, 1], [0, 0, 0, 1], [0, 2, 1, 1]])
    assert solid(boxes).tolist() == [True, False, False] and solid(empty[0]).shape == (0,)


def test_the_best_scores_come_first_and_of_equal_ones_the_first():
    scores = torch.tensor([0.2, 0.7, 0.05, 0.7, 0.04, 0.2])
    assert best(scores, 9, 0.05).tolist() == [1, 3, 0, 5]
    assert best(scores, 3).tolist() == [1, 3, 0]
    assert best(scores, 9, 0.9).tolist() == [] and best(scores[:0], 9).tolist() == []
