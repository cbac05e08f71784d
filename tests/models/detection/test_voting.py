"""Answers of several views put back into the image and merged: exactly, by brute force, by hand."""

from itertools import product

import pytest
import torch
from torchvision.ops import box_iou

from corpus.reading.sampler import seeded
from models.blocks.detection import voting
from models.blocks.detection.scene import Found

STORED = (48, 64)


def boxes_of(count: int, seed: int = 0, sides: tuple[int, int] = STORED) -> torch.Tensor:
    """Boxes at sixteenths of a pixel, so that sums and products by powers of two are exact."""
    ends = torch.rand(count, 2, 2, generator=seeded(seed)) * torch.tensor(sides[::-1])
    ends = (ends * 16).round() / 16
    return torch.cat([ends.min(1).values, ends.max(1).values], 1)


@pytest.mark.parametrize(("factor", "mirrored"), [*product([0.25, 1, 2], [False, True])])
def test_the_way_back_is_exact(factor, mirrored):
    content = tuple(round(side * factor) for side in STORED)
    boxes = boxes_of(30)
    seen = voting.boxes_in(boxes, content, STORED, mirrored)
    assert seen[:, 2].max() <= content[1] and (seen[:, 2:] >= seen[:, :2]).all()
    assert torch.equal(seen, boxes * factor) is not mirrored
    assert torch.equal(voting.boxes_out(seen, content, STORED, mirrored), boxes)


def test_a_content_of_another_aspect_comes_back_by_both_of_its_factors():
    boxes = torch.tensor([[6.0, 3.0, 12.0, 9.0]])
    found = voting.boxes_out(boxes, (33, 40), (66, 120), True)
    assert found.tolist() == [[84, 6, 102, 18]]


def brute_force(parts: list[Found], overlap: float, floor: float, most: int) -> list:
    rows = [
        (float(score), int(label), box)
        for part in parts
        for box, label, score in zip(part.boxes, part.labels, part.scores, strict=True)
    ]
    kept = []
    for score, label, box in sorted(rows, key=lambda row: -row[0]):
        others = [other for _, same, other in kept if same == label]
        near = [float(box_iou(box[None], other[None])) > overlap for other in others]
        if score > floor and not any(near):
            kept.append((score, label, box))
    return kept[:most]


def parts_of(seed: int, views: int = 3, count: int = 40) -> list[Found]:
    found = []
    for view in range(views):
        made = seeded(seed, view)
        labels = torch.randint(0, 3, (count,), generator=made)
        scores = torch.rand(count, generator=made).clamp(min=0.2) - 0.2
        boxes = boxes_of(count, seed + view)
        found.append(Found(boxes, labels, scores, torch.rand(count, 6, 6, generator=made)))
    return found


@pytest.mark.parametrize(("overlap", "floor", "most"), [(0.5, 1e-8, 100), (0.2, 0.1, 7)])
def test_the_union_is_suppressed_class_by_class(overlap, floor, most):
    parts = parts_of(4)
    found = voting.merged(parts, overlap, floor, most)
    expected = brute_force(parts, overlap, floor, most)
    assert [(*map(float, row),) for row in zip(found.scores, found.labels, strict=True)] == [
        (score, label) for score, label, _ in expected
    ]
    assert torch.equal(found.boxes, torch.stack([box for *_, box in expected]))


def test_boxes_vote_by_their_scores_where_they_are_of_one_class():
    one = Found(torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([1]), torch.tensor([0.9]))
    near = Found(
        torch.tensor([[0.0, 0, 11, 10]] * 2), torch.tensor([1, 2]), torch.tensor([0.3] * 2)
    )
    found = voting.voted(one, [one, near], 0.8)
    assert torch.allclose(found.boxes, torch.tensor([[0, 0, (9 + 3.3) / 1.2, 10]]))
    assert found.scores is one.scores
    # a box without area overlaps nothing, and votes for itself
    flat = Found(torch.tensor([[5.0, 5, 5, 9]]), torch.tensor([0]), torch.tensor([0.5]))
    assert torch.equal(voting.voted(flat, [flat, near], 0.8).boxes, flat.boxes)


def test_masks_are_averaged_over_the_boxes_that_they_are_merged_to():
    parts = parts_of(9, views=1)
    best = Found(parts[0].boxes[:5], parts[0].labels[:5], parts[0].scores[:5])
    # a mask that is alone, on its own box, stays
    alone = voting.averaged(best, best.boxes, parts, 1.0)
    torch.testing.assert_close(alone, parts[0].masks[:5], atol=1e-4, rtol=0)
    box, label, score = torch.tensor([[0.0, 0, 8, 8]]), torch.tensor([0]), torch.tensor([0.5])
    left = torch.zeros(1, 8, 8)
    left[..., :4] = 1
    views = [Found(box, label, score, left), Found(box, label, score, torch.ones(1, 8, 8))]
    found = voting.averaged(views[0], box, views, 0.5)
    torch.testing.assert_close(found[0, 0], torch.tensor([1.0] * 4 + [0.5] * 4))
    # on a box of twice the width: nothing beyond the old one
    wide = voting.averaged(views[1], torch.tensor([[0.0, 0, 16, 8]]), views[1:], 0.5)
    assert wide[0, 0].tolist() == [1] * 4 + [0] * 4


def test_nothing_found_is_nothing_merged():
    none = Found(torch.zeros(0, 4), torch.zeros(0).long(), torch.zeros(0), torch.zeros(0, 6, 6))
    best = voting.merged([none, none], 0.5, 0, 9)
    assert best.boxes.shape == (0, 4) and best.labels.dtype == torch.int64
    assert voting.voted(best, [none], 0.5).boxes.shape == (0, 4)
    assert voting.averaged(best, best.boxes, [none], 0.5).shape == (0, 6, 6)


def test_classes_of_pixels_come_back_and_one_that_is_not_told_is_none():
    scores = torch.randn(4, 6, 8, generator=seeded(3))
    scores[2] = -torch.inf
    given = (24, 32), (20, 30), (20, 30)
    plain = voting.probabilities_out(scores, *given, False)
    assert plain.shape == (4, 20, 30) and not plain[2].any()
    torch.testing.assert_close(plain.sum(0), torch.ones(20, 30))
    expected = torch.nn.functional.interpolate(scores[None, [0, 1, 3]], (24, 32), mode="bilinear")
    torch.testing.assert_close(plain[[0, 1, 3]], expected[0, :, :20, :30].softmax(0))
    # a head that sees a mirrored image, all of the canvas
    whole = (24, 32), (24, 32), (48, 64)
    mirrored = voting.probabilities_out(scores.flip(2), *whole, True)
    torch.testing.assert_close(mirrored, voting.probabilities_out(scores, *whole, False))
    assert not voting.probabilities_out(torch.full((2, 3, 4), -torch.inf), *whole, True).any()
