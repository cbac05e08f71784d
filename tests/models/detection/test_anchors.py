"""Anchors: golden values, torchvision's generator, what is kept between calls."""

import pytest
import torch
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from models.blocks.detection.anchors import Anchors

STRIDES = [8, 16, 32, 64, 128]
RETINANET = {"size": 4, "scales": 3}


def levels(canvas):
    return [torch.empty(1, 1, -(-canvas[0] // s), -(-canvas[1] // s)) for s in STRIDES]


def theirs(canvas, maps, sizes):
    made = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes))
    images = ImageList(torch.empty(1, 3, *canvas), [canvas])
    return made(images, maps)[0]


def test_golden_values_of_torchvisions_rounding():
    found = torch.cat(
        Anchors(STRIDES, **RETINANET, rounding="torchvision")(levels((64, 64)), (64, 64))
    )
    assert len(found) == 774 and found.sum() == 80_640
    assert found[9].tolist() == [-15, -11, 31, 11]
    assert found[-1].tolist() == [-287, -574, 287, 574]
    canvas = (800, 800)
    anchors = Anchors(STRIDES, **RETINANET)
    assert sum(map(len, anchors(levels(canvas), canvas))) == 120_087 and anchors.count == 9


@pytest.mark.parametrize("canvas", [(64, 64), (224, 160), (800, 800)])
@pytest.mark.parametrize(("size", "scales"), [(4, 3), (8, 1)])
def test_rounded_anchors_are_torchvisions(canvas, size, scales):
    steps = [2 ** (k / scales) for k in range(scales)]
    sizes = []
    for stride in STRIDES:
        sizes.append(tuple(int(stride * size * step) for step in steps))
    maps = levels(canvas)
    found = Anchors(STRIDES, size, scales, rounding="torchvision")(maps, canvas)
    assert torch.equal(torch.cat(found), theirs(canvas, maps, tuple(sizes)))


def test_exact_anchors_are_those_of_the_paper():
    """Sizes first, areas as asked, ratios height over width, a place every stride."""
    anchors = torch.cat(Anchors([8, 16], **RETINANET)([torch.empty(1, 1, 2, 3)] * 2, (16, 24)))
    assert anchors.dtype == torch.float32 and len(anchors) == 2 * 2 * 3 * 9
    sides = (anchors[:, 2:] - anchors[:, :2]).view(2, 6, 9, 2)
    torch.testing.assert_close(sides[0, 0, 0], torch.tensor([45.2548, 22.6274]))
    areas = torch.tensor([32.0, 40.3175, 50.7968]).repeat_interleave(3) ** 2
    torch.testing.assert_close(sides[0, 5].prod(1), areas, rtol=1e-5, atol=0)
    torch.testing.assert_close(sides[1], 2 * sides[0])
    ratios = (sides[..., 1] / sides[..., 0]).view(-1, 3)
    torch.testing.assert_close(ratios, torch.tensor([0.5, 1, 2]).expand_as(ratios))
    centres = (anchors[:, 2:] + anchors[:, :2]).view(2, 2, 3, 9, 2) / 2
    torch.testing.assert_close(centres[1, 1, 2], torch.tensor([32.0, 16.0]).expand(9, 2))


def test_anchors_are_made_once_and_of_inference_may_be_trained_on():
    make, maps = Anchors([8], 3, 2, (1.0,)), [torch.empty(1, 1, 5, 7)]
    with torch.inference_mode():
        first = make(maps, (40, 56))[0]
    assert make(maps, (40, 56))[0] is first and not first.is_inference()
    assert Anchors([8], 3, 2, (2.0,))(maps, (40, 56))[0] is not first
    assert make([maps[0].to("meta")], (40, 56))[0].is_meta
