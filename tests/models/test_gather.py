"""Rows of two workers, gathered with their gradient: a contrast over the batch as one has it."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.core import checkpoint
from engine.training.distributed import present_workers, wrapped
from engine.training.launching import launch
from models.blocks.gather import first_row, gather

ROWS = 7  # of which the first worker has four


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 4)).double()


def inputs() -> Tensor:
    return torch.randn(ROWS, 5, generator=torch.Generator().manual_seed(1)).double()


def contrast(rows: Tensor) -> Tensor:
    """Each own row against all of the batch: its own is the right answer."""
    found = F.normalize(rows, dim=1)
    logits = found @ gather(found).T / 0.5
    return F.cross_entropy(logits, first_row(rows) + torch.arange(len(rows)))


def part_of(folder: Path) -> None:
    """The gradient that two workers agree on."""
    workers = present_workers()
    module = wrapped(network(), sharded=False)
    own = inputs()[workers.part(ROWS)]
    # as the loader has it: a worker with more rows counts for more
    share = len(own) * workers.world / ROWS
    (contrast(module(own)) * share).backward()
    if workers.first:
        grads = {name: p.grad for name, p in module.module.named_parameters()}
        checkpoint.save_tensors(folder / "grads.safetensors", grads, {})


def test_two_workers_have_the_gradient_of_one(tmp_path):
    launch(2, part_of, tmp_path)
    together, _ = checkpoint.load_tensors(tmp_path / "grads.safetensors")
    module = network()
    contrast(module(inputs())).backward()
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(together[name], parameter.grad, rtol=1e-9, atol=1e-12)


def test_alone_it_is_the_rows_themselves():
    rows = inputs()
    assert gather(rows) is rows and first_row(rows) == 0


def test_a_gradient_without_the_other_workers_part_would_be_another():
    """What the test above would miss if gathered rows had no gradient."""
    module = network()
    found = F.normalize(module(inputs()), dim=1)
    F.cross_entropy(found @ found.detach().T / 0.5, torch.arange(ROWS)).backward()
    cut = [parameter.grad.clone() for parameter in module.parameters()]
    module.zero_grad()
    contrast(module(inputs())).backward()
    with pytest.raises(AssertionError):
        torch.testing.assert_close(cut[0], next(module.parameters()).grad)
