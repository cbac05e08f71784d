"""Every head: features -> predictions, their loss and their decoding."""

import math

import pytest
import torch

from engine.build import build, choices

FEATURES = [torch.randn(4, 8, 8, 8), torch.randn(4, 16, 4, 4)]


@pytest.mark.parametrize("name", choices("heads"))
def test_contract(name):
    head = build("heads", {"name": name}, channels=[8, 16], classes=10)
    predictions = head(FEATURES)
    loss = head.loss(predictions, torch.tensor([0, 3, 9, 3]))
    loss["loss"].backward()
    assert predictions.shape == (4, 10) and loss["loss"].ndim == 0
    assert all(p.grad.abs().sum() > 0 for p in head.parameters())
    torch.testing.assert_close(head.decode(predictions).sum(-1), torch.ones(4))


def test_linear_is_a_linear_map_of_the_mean_of_the_last_map():
    head = build("heads", {"name": "linear"}, channels=[8, 16], classes=10)
    mean = FEATURES[-1].flatten(2).mean(-1)
    torch.testing.assert_close(head(FEATURES), mean @ head.fc.weight.T + head.fc.bias)
    torch.testing.assert_close(head.fc(head.pool(FEATURES)), head(FEATURES))


def test_linear_starts_near_the_loss_of_chance():
    torch.manual_seed(0)
    head = build("heads", {"name": "linear"}, channels=[512], classes=1000)
    assert head.fc.weight.std().item() == pytest.approx(0.01, rel=0.02) and not head.fc.bias.any()
    loss = head.loss(head([torch.rand(8, 512, 4, 4)]), torch.arange(8))["loss"]
    assert loss.item() == pytest.approx(math.log(1000), rel=0.02)


def test_linear_takes_classes_and_probabilities_alike():
    head = build("heads", {"name": "linear"}, channels=[16], classes=10)
    targets = torch.tensor([0, 3, 9, 3])
    one_hot = torch.nn.functional.one_hot(targets, 10).float()
    logits = head(FEATURES)
    torch.testing.assert_close(head.loss(logits, one_hot), head.loss(logits, targets))
