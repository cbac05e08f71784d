"""Channelwise convolutions over clips: torch's own outputs and gradients, in any layout."""

import copy

import pytest
import torch
from torch import Tensor, nn

from models.blocks.layers.video.depthwise import DepthwiseConv3d

SHAPES = [
    (3, 1, (2, 5, 4, 6, 7)),
    (3, (1, 2, 2), (2, 5, 4, 7, 6)),
    (3, 2, (2, 4, 5, 6, 7)),
    (3, (2, 1, 1), (1, 4, 6, 5, 5)),
    (3, 1, (2, 3, 1, 4, 4)),
    (3, 2, (1, 3, 2, 1, 1)),
    ((5, 1, 1), 1, (2, 4, 3, 5, 4)),
    ((5, 1, 1), (2, 1, 1), (2, 4, 7, 3, 4)),
    ((1, 3, 3), (1, 2, 2), (2, 4, 3, 5, 4)),
    ((5, 3, 1), (3, 1, 2), (1, 2, 8, 4, 5)),
]


def pair(kernel, stride, channels) -> tuple[DepthwiseConv3d, nn.Conv3d]:
    torch.manual_seed(0)
    ours = DepthwiseConv3d(channels, kernel, stride)
    options = {"groups": channels, "padding": ours.padding, "bias": False}
    theirs = nn.Conv3d(channels, channels, kernel, stride, **options)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def results(conv: nn.Module, x: Tensor) -> list[Tensor]:
    x = x.detach().requires_grad_()
    found = conv(x)
    found.backward(torch.sin(torch.arange(found.numel())).to(x.dtype).view(found.shape))
    return [found.detach(), x.grad, conv.weight.grad]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "shape"), SHAPES)
def test_outputs_and_gradients_are_torchs(kernel, stride, shape, last):
    ours, theirs = pair(kernel, stride, shape[1])
    x = torch.randn(shape)
    exact = results(copy.deepcopy(theirs).double(), x.double())
    if last:
        x = x.contiguous(memory_format=torch.channels_last_3d)
    for found, wanted in zip(results(ours, x), exact, strict=True):
        # single precision, of sums of hundreds of terms
        rounding = 2e-6 * wanted.abs().max().item()
        torch.testing.assert_close(found.double(), wanted, atol=rounding, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), atol=1e-6, rtol=1e-6)


def test_only_what_is_asked_for_has_a_gradient():
    ours, _ = pair(3, 1, 4)
    x = torch.randn(1, 4, 3, 5, 5)
    ours(x).sum().backward()
    assert x.grad is None and ours.weight.grad.abs().sum() > 0
    for stride in (1, 2):
        frozen, x = pair(3, stride, 4)[0].requires_grad_(False), x.detach().requires_grad_()
        frozen(x).sum().backward()
        assert frozen.weight.grad is None and x.grad.abs().sum() > 0


def test_other_precisions_and_exports_are_torchs_own():
    ours, theirs = pair(3, 1, 4)
    x = torch.randn(1, 4, 3, 5, 5)
    with torch.autocast("cpu", torch.bfloat16):
        found, wanted = ours(x), theirs(x)
    assert found.dtype is torch.bfloat16
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(ours.double()(x.double()), theirs.double()(x.double()))
    program = torch.export.export(ours.float(), (x,))
    torch.testing.assert_close(program.module()(x), theirs.float()(x), atol=1e-6, rtol=1e-6)
