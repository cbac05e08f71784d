"""Classes of pixels from a pyramid: the paper's size, its rule, other pyramids."""

import math

import pytest
import torch
import torch.nn.functional as F

from models.blocks.detection.semantics import Semantics, classes_of


def wave(*shape: int, s: float = 0.0) -> torch.Tensor:
    """X(shape, s) of the fact sheets: sin(0.37 k + s) of the k-th number."""
    return torch.sin(0.37 * torch.arange(math.prod(shape), dtype=torch.float64) + s).view(shape)


def test_the_papers_branch_has_its_parameters():
    with torch.device("meta"):
        branch = Semantics([4, 8, 16, 32], 256, 54)
    assert sum(each.numel() for each in branch.parameters()) == 1_630_774
    convolutions = [each for each in branch.modules() if isinstance(each, torch.nn.Conv2d)]
    assert len(convolutions) == 7 + 1 and all(each.bias is None for each in convolutions[:-1])


def test_each_map_is_brought_to_the_finest_stride_by_the_papers_blocks():
    branch = Semantics([4, 8, 16], 6, 5).double()
    # a fourth map, as one that is pooled for boxes, is not looked at
    pyramid = [wave(2, 6, 16 // 2**level, 8 // 2**level, s=level) for level in range(4)]
    total = 0
    for level, (scale, x) in enumerate(zip(branch.scales, pyramid, strict=False)):
        weights = [each.weight for each in scale if isinstance(each, torch.nn.Conv2d)]
        assert len(weights) == max(level, 1)
        for weight in weights:
            x = F.relu(F.group_norm(F.conv2d(x, weight, padding=1), 32, eps=1e-5))
            x = F.interpolate(x, scale_factor=2, mode="bilinear") if level else x
        total = total + x
    torch.testing.assert_close(branch.features(pyramid), total)
    head = branch.classifier
    expected = torch.einsum("nchw,kc->nkhw", total, head.weight[:, :, 0, 0]) + head.bias.view(
        -1, 1, 1
    )
    torch.testing.assert_close(branch(pyramid), expected)


@pytest.mark.parametrize(("strides", "blocks"), [([8], 1), ([4, 4], 2), ([2, 16], 4)])
def test_other_pyramids_go_by_the_same_rule(strides, blocks):
    branch = Semantics(strides, 4, 3, dim=12, norm="batch")
    norms = [each for each in branch.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    assert len(norms) == blocks
    pyramid = [torch.randn(1, 4, 32 // stride, 48 // stride) for stride in strides]
    assert branch(pyramid).shape == (1, 3, 32 // strides[0], 48 // strides[0])


def test_maps_that_are_not_doubled_are_refused():
    with pytest.raises(ValueError, match="stride 12 cannot be doubled to one of stride 4: take"):
        Semantics([4, 12], 8, 3)


def test_the_likeliest_class_of_each_pixel():
    canvas, content, sides = (16, 24), (12, 20), (30, 41)
    scores = wave(4, 4, 6)
    whole = F.interpolate(scores[None], canvas, mode="bilinear")[:, :, :12, :20]
    expected = F.interpolate(whole, sides, mode="bilinear")[0].argmax(0)
    assert expected.unique().tolist() == [0, 1, 2, 3]
    assert torch.equal(classes_of(scores, 4, canvas, content, sides), expected)
    # a row more is of no class, and neither that nor a class that is not told makes NaN
    scores = torch.cat([scores[:1], torch.full((2, 4, 6), -torch.inf), scores[1:]])
    renamed = torch.tensor([0, 3, 4, 255])
    assert torch.equal(classes_of(scores, 5, canvas, content, sides), renamed[expected])
    assert (classes_of(scores[1:3], 2, canvas, content, sides) == 255).all()
