"""Instances and classes of pixels merged into one map: goldens, the rule pixel by pixel, PQ 100."""

import numpy as np
import pytest
import torch

from metrics.pq import PQ
from models.blocks.detection.merging import Merged, merged
from models.blocks.detection.targets import instances_of, semantic_of
from tests.models.detection.test_panoptic_targets import columns

# y0, y1, x0, x1, class, score; classes 0 to 4 are things, 5 to 7 stuff
INSTANCES = [
    (10, 50, 10, 50, 0, 0.9),
    (10, 50, 20, 60, 1, 0.8),
    (10, 50, 35, 75, 0, 0.7),
    (60, 90, 60, 90, 2, 0.6),
    (0, 8, 0, 8, 3, 0.55),
    (60, 90, 60, 90, 4, 0.4),
]
A, B, C, D, E = (0, 1600), (1, 400), (0, 1000), (2, 900), (3, 64)
STUFF = [(5, 2256), (6, 2628)]


def given() -> tuple[torch.Tensor, ...]:
    """Boxes, labels, scores and masks of the goldens' instances, and classes of pixels."""
    masks = torch.zeros(len(INSTANCES), 96, 96, dtype=torch.bool)
    for mask, (top, bottom, left, right, *_) in zip(masks, INSTANCES, strict=True):
        mask[top:bottom, left:right] = True
    boxes = torch.tensor([(x0, y0, x1, y1) for y0, y1, x0, x1, *_ in INSTANCES]).float()
    labels = torch.tensor([each[4] for each in INSTANCES])
    scores = torch.tensor([each[5] for each in INSTANCES])
    semantic = torch.full((96, 96), 5)
    semantic[:, 48:], semantic[80:, :48] = 6, 7
    order = torch.tensor([3, 0, 5, 2, 1, 4])  # that scores decide
    of_each = (each[order] for each in (boxes, labels, scores, masks))
    return (*of_each, semantic)


def areas(found: Merged) -> list[tuple[int, int]]:
    """(class, px) of each segment."""
    pixels = found.panoptic.flatten().bincount(minlength=len(found.panoptic_label) + 1)[1:]
    return list(zip(found.panoptic_label.tolist(), pixels.tolist(), strict=True))


@pytest.mark.parametrize(
    ("overlap", "stuff_area", "expected", "void"),
    [
        (0.5, 4096, [A, C, D, E], 5652),
        (0.5, 1000, [A, C, D, E, *STUFF], 768),
        (0.8, 0, [A, B, (0, 600), D, E, *STUFF, (7, 768)], 0),
    ],
)
def test_goldens_of_the_authors_code(overlap, stuff_area, expected, void):
    found = merged(*given(), overlap=overlap, stuff_area=stuff_area)
    assert areas(found) == expected and int((found.panoptic == 0).sum()) == void
    assert found.panoptic.dtype == torch.int32
    assert found.panoptic_thing.tolist() == [label < 5 for label, _ in expected]


def test_limits_are_kept_where_they_are_met():
    _, labels, _, _, semantic = given()
    # half of the second is taken by the first
    masks = torch.zeros(2, 96, 96, dtype=torch.bool)
    masks[0, :, :20], masks[1, :, 10:30] = True, True
    whole, scores = torch.tensor([[0.0, 0, 96, 96]] * 2), torch.tensor([0.9, 0.5])
    found = merged(whole, labels[:2], scores, masks, semantic, stuff_area=48 * 96)
    assert [each for _, each in areas(found)] == [20 * 96, 10 * 96, 48 * 96]
    found = merged(whole, labels[:2], scores, masks, semantic, 0.49, 0.51, 48 * 96 + 1)
    assert [each for _, each in areas(found)] == [20 * 96]


def plainly(labels, scores, masks, semantic, overlap, score, stuff_area):
    """The rule in whole maps, one segment after the other: [(class, mask)]."""
    found, taken = [], np.zeros(semantic.shape, bool)
    for row in sorted(range(len(scores)), key=lambda row: -scores[row]):
        mask = masks[row].numpy()
        if scores[row] < score or not mask.any() or (mask & taken).sum() / mask.sum() > overlap:
            continue
        if (mask & ~taken).any():
            found.append((int(labels[row]), mask & ~taken))
            taken |= mask
    for label in sorted(set(semantic.unique().tolist()) - {255}):
        mask = (semantic.numpy() == label) & ~taken
        if mask.any() and mask.sum() >= stuff_area:
            found.append((label, mask))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_the_rule_pixel_by_pixel(seed):
    rng = np.random.default_rng(seed)
    count, height, width = int(rng.integers(0, 30)), 40, 50
    first = rng.random((count, 2)) * [width, height] * 0.8
    ends = np.minimum(first + rng.random((count, 2)) * 25, [width, height])
    boxes = torch.from_numpy(np.concatenate([first, ends], 1)).float()
    x, y = torch.arange(width)[None] + 0.5, torch.arange(height)[:, None] + 0.5
    left, top, right, bottom = (each[:, None, None] for each in boxes.T)
    masks = (x > left) & (x < right) & (y > top) & (y < bottom)
    masks &= torch.from_numpy(rng.random(masks.shape) < 0.8)
    semantic = torch.from_numpy(rng.choice([3, 4, 5, 255], (4, 5))).repeat_interleave(10, 0)
    semantic = semantic.repeat_interleave(10, 1)
    scores = torch.from_numpy(rng.random(count)).float()
    labels = torch.from_numpy(rng.integers(0, 3, count))
    scene = labels, scores, masks, semantic
    limits = float(rng.random()), 0.3, 60
    found, expected = merged(boxes, *scene, *limits), plainly(*scene, *limits)
    assert found.panoptic_label.tolist() == [label for label, _ in expected]
    for number, (_, mask) in enumerate(expected, 1):
        assert np.array_equal(found.panoptic.numpy() == number, mask)


def test_an_image_of_which_nothing_is_told():
    none, semantic = torch.zeros(0), torch.full((6, 8), 255)
    masks = torch.zeros(0, 6, 8, dtype=torch.bool)
    found = merged(none.view(0, 4), none.long(), none, masks, semantic)
    assert len(found.panoptic_label) == len(found.panoptic_thing) == 0 and not found.panoptic.any()


def test_the_truth_taken_apart_and_merged_is_of_quality_100():
    metric, segments = PQ(resamples=0), 0
    for seed in range(12):
        panoptic, labels, thing, crowd = columns(seed)
        things = instances_of(panoptic, labels, thing, crowd)
        classes = semantic_of(panoptic, labels)
        scores = torch.linspace(1, 0.5, len(things.labels))
        found = merged(*things[:2], scores, things.masks, classes, stuff_area=0)
        given, true = ({"panoptic": [each]} for each in (found.panoptic, panoptic))
        given["panoptic_label"] = [found.panoptic_label]
        true |= {"panoptic_label": [labels], "panoptic_crowd": [crowd]}
        metric.update(given, true)
        segments += len(labels)
    numbers = metric.compute()
    assert numbers["pq"] == 100 and numbers["fp"] == numbers["fn"] == 0 and segments > 50
