"""What of torch is no promise: another version that lacks some of it says here what it is."""

import importlib.util
import inspect

import pytest
import torch
from torch import nn

from engine.core import forkserver, torch_private


@pytest.mark.parametrize(
    ("layer", "batch"),
    [
        (nn.BatchNorm1d(2), True),
        (nn.BatchNorm2d(2), True),
        (nn.BatchNorm3d(2), True),
        (nn.SyncBatchNorm(2), True),
        (nn.InstanceNorm2d(2), False),
    ],
)
def test_norms_have_their_base(layer, batch):
    assert isinstance(layer, torch_private.BatchNorm) == batch
    assert isinstance(layer, torch_private.BatchOrInstanceNorm)


def test_other_layers_do_not_have_it():
    assert not isinstance(nn.GroupNorm(1, 2), torch_private.BatchOrInstanceNorm)


def test_tensors_go_towards_others_as_one_by_one():
    tensors = [torch.zeros(3), torch.ones(2, 2)]
    others = [torch.full((3,), 4.0), torch.full((2, 2), 3.0)]
    expected = [tensor.lerp(other, 0.25) for tensor, other in zip(tensors, others, strict=True)]
    torch_private.lerp_all_(tensors, others, 0.25)
    assert all(map(torch.equal, tensors, expected))


def test_allocations_are_told_by_time():
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        one = torch.empty(1000)
        two = torch.empty(3000)
        del one, two
    counts = torch_private.allocations(profile)
    assert [count for count in counts if count > 0] == [4000, 12_000]
    assert sorted(count for count in counts if count < 0) == [-12_000, -4000]


@pytest.mark.parametrize("message", ["killed", {"message": "killed", "extraInfo": {}}])
def test_a_failure_has_words_of_either_form(message):
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

    failure = ProcessFailure(local_rank=1, pid=2, exitcode=-9, error_file="none")
    assert "Signal 9" in torch_private.failure_text(failure)
    failure.message = message
    assert torch_private.failure_text(failure) == "killed"


def test_elastic_still_asks_whether_workers_meet_in_a_file():
    from torch.distributed.elastic.rendezvous import dynamic_rendezvous

    [name] = torch_private.MEET_IN_FILE
    assert f'os.getenv("{name}", "0")' in inspect.getsource(dynamic_rendezvous)


@pytest.mark.parametrize("name", ["torch._inductor", forkserver.TRAINS])
def test_the_compiler_is_where_it_was(name):
    assert importlib.util.find_spec(name)


def test_a_compiler_that_was_not_imported_is_not_told(monkeypatch):
    monkeypatch.delitem(torch_private.sys.modules, "torch._inductor", raising=False)
    assert not torch_private.compiler_is_loaded()
    monkeypatch.setitem(torch_private.sys.modules, "torch._inductor", torch)
    assert torch_private.compiler_is_loaded()
