"""Matching and box codes: golden values, brute force, what is to be ignored."""

import math

import pytest
import torch
from torchvision.models.detection._utils import Matcher
from torchvision.ops import box_iou

from models.blocks.detection.matching import NEGATIVE, NEITHER, Deltas, Matching

RETINANET = Matching(0.5, 0.4, low_quality=True)


def boxes(count: int, seed: int, side: float = 100) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * side
    return torch.cat((corner, corner + 1 + torch.rand(count, 2, generator=generator) * 40), 1)


def none(count: int) -> torch.Tensor:
    return torch.zeros(count, dtype=torch.bool)


def test_golden_values():
    overlaps = torch.tensor([[0.55, 0.45, 0.39, 0.1], [0.2, 0.45, 0.3, 0.35]])
    assert RETINANET.of_overlaps(overlaps).tolist() == [0, 0, NEGATIVE, NEGATIVE]
    code = Deltas().encode(torch.tensor([[10.0, 20, 50, 80]]), torch.tensor([[12.0, 18, 44, 90]]))
    expected = [0.0625, -0.0555555556, 0.2231435513, -0.1823215568]
    torch.testing.assert_close(code, torch.tensor([expected]))


@pytest.mark.parametrize(
    ("foreground", "background", "low_quality"),
    [(0.5, 0.4, True), (0.7, 0.3, True), (0.5, 0.5, False)],
)
def test_matches_are_those_of_brute_force(foreground, background, low_quality):
    objects, candidates = boxes(7, 0), boxes(300, 1)
    found = Matching(foreground, background, low_quality)(objects, none(7), candidates)
    overlaps = box_iou(objects, candidates)
    assert torch.equal(found, Matcher(foreground, background, low_quality)(overlaps))
    for place, column in enumerate(overlaps.T.tolist()):
        best = max(column)
        expected = column.index(best)
        if best < foreground:
            expected = NEGATIVE if best < background else NEITHER
        if low_quality and (overlaps[:, place] == overlaps.amax(1)).any():
            expected = column.index(best)
        assert found[place] == expected
    assert (found >= 0).any() and (found == NEGATIVE).any()
    assert (found == NEITHER).any() == (foreground > background)


def test_ignored_objects_are_matched_by_none_and_keep_what_lies_in_them_from_being_negative():
    objects = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60], [48, 48, 100, 100]])
    ignore = torch.tensor([False, False, True])
    candidates = torch.tensor(
        [
            [0.0, 0, 10, 10],  # the first
            [50, 50, 60, 60],  # the second, in the region
            [80, 80, 90, 90],  # in the region
            [90, 80, 110, 90],  # half in it
            [90, 80, 112, 90],  # less than half
            [48, 48, 100, 100],  # the region itself
            [20, 20, 30, 30],
        ]
    )
    found = RETINANET(objects, ignore, candidates)
    assert found.tolist() == [0, 1, NEITHER, NEITHER, NEGATIVE, NEITHER, NEGATIVE]
    swapped = RETINANET(objects.flip(0), ignore.flip(0), candidates)
    assert swapped.tolist() == [2, 1, NEITHER, NEITHER, NEGATIVE, NEITHER, NEGATIVE]


def test_without_objects_or_candidates_and_with_an_object_beside_all():
    empty = torch.empty(0, 4)
    assert RETINANET(empty, none(0), boxes(3, 0)).tolist() == [NEGATIVE] * 3
    assert RETINANET(boxes(3, 0), none(3), empty).shape == (0,)
    all_ignored = RETINANET(boxes(3, 0), ~none(3), boxes(3, 0))
    assert all_ignored.tolist() == [NEITHER] * 3
    beside = torch.tensor([[500.0, 500, 501, 501]])
    assert RETINANET(beside, none(1), boxes(9, 0)).tolist() == [NEGATIVE] * 9
    with pytest.raises(ValueError, match="background that is not above"):
        Matching(0.3, 0.5)


@pytest.mark.parametrize("weights", [(1.0, 1.0, 1.0, 1.0), (10.0, 10.0, 5.0, 5.0)])
def test_codes_are_decoded_to_the_boxes_that_they_are_of(weights):
    deltas, objects, anchors = Deltas(weights), boxes(50, 0), boxes(50, 1)
    codes = deltas.encode(objects, anchors)
    torch.testing.assert_close(deltas.decode(codes, anchors), objects, atol=1e-3, rtol=1e-4)
    of_classes = deltas.decode(codes.repeat(1, 3), anchors)
    torch.testing.assert_close(of_classes, objects.repeat(1, 3), atol=1e-3, rtol=1e-4)
    assert deltas.decode(codes.half(), anchors).dtype == torch.float32
    assert deltas.decode(codes[:0], anchors[:0]).shape == (0, 4)


def test_no_box_is_decoded_as_larger_than_the_clip():
    deltas = Deltas()
    assert deltas.coder.bbox_xform_clip == pytest.approx(4.135166556742356, abs=1e-15)
    found = deltas.decode(torch.tensor([[0.0, 0, 99, 99]]), torch.tensor([[0.0, 0, 16, 16]]))
    assert found[0, 2:].sub(found[0, :2]).tolist() == pytest.approx([1000, 1000])
    assert math.exp(deltas.coder.bbox_xform_clip) == pytest.approx(62.5)
