"""1x1x1 convolutions over clips as products: torch's own outputs and gradients, and its counts."""

import pytest
import torch
from torch import nn

from engine.measure.complexity import measure
from models.blocks.layers.video.pointwise import PointwiseConv3d


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize(("stride", "bias"), [(1, False), (1, True), (2, False)])
def test_outputs_and_gradients_are_those_of_torch(memory, stride, bias):
    torch.manual_seed(0)
    ours = PointwiseConv3d(6, 10, stride, bias)
    theirs = nn.Conv3d(6, 10, 1, (1, stride, stride), bias=bias)
    assert measure(ours, (6, 3, 5, 8)) == measure(theirs, (6, 3, 5, 8))
    ours, theirs = ours.double(), theirs.double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 6, 3, 5, 8, dtype=torch.float64).contiguous(memory_format=memory)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [conv(one) for conv, one in zip((ours, theirs), inputs, strict=True)]
    weights = torch.randn_like(outputs[1])
    for output in outputs:
        (output * weights).sum().backward()
    torch.testing.assert_close(outputs[0], outputs[1])
    assert outputs[0].is_contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    for parameter, wanted in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, wanted.grad)


def test_autocast_and_half_precision_go_through():
    conv, x = PointwiseConv3d(4, 8), torch.randn(1, 4, 2, 3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert conv(x).dtype == torch.bfloat16
    assert conv.bfloat16()(x.bfloat16()).shape == (1, 8, 2, 3, 3)
