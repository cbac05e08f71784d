"""What is used of torch that torch does not promise to keep, in one place.

Each line says what it is for and what the public way would cost; another version of torch may lack
any of it, and tests/engine/core/test_torch_private.py then says which. One name more is in
engine/core/forkserver.py, which imports no torch itself.
"""

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

# The common bases of batch norms, and of those and instance norms. In public there are only the
# classes one by one, by dimension, with running statistics computed lazily or over processes.
BatchNorm = nn.modules.batchnorm._BatchNorm
BatchOrInstanceNorm = nn.modules.batchnorm._NormBase

# Has the workers of one machine meet in a file. In public elastic's c10d rendezvous opens a port.
MEET_IN_FILE = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}


def compiler_is_loaded() -> bool:
    """Whether torch's compiler has been imported, so that it has to be told of flags too.

    In public it is told always, by importing it: more than a second.
    """
    return "torch._inductor" in sys.modules


def lerp_all_(tensors: Sequence[Tensor], others: Sequence[Tensor], weight: float) -> None:
    """Each tensor goes by `weight` towards the other, in place, in a few kernels for all.

    In public there is Tensor.lerp_, a kernel for each tensor of a network.
    """
    torch._foreach_lerp_(tensors, others, weight)


def allocations(profile: torch.profiler.profile) -> list[int]:
    """Bytes of each allocation (negative when freed) in a profile with memory, by time.

    In public the same records are in the trace only, a file of JSON to be written and read.
    """
    events = profile.profiler.kineto_results.events()
    memory = [event for event in events if event.name() == "[memory]"]
    return [event.nbytes() for event in sorted(memory, key=lambda event: event.start_ns())]


def failure_text(failure: Any) -> str:
    """The words of elastic's ProcessFailure, whose message is a text or a dictionary with one.

    In public they are in the text of ChildFailedError, a page of rulers and time stamps.
    """
    message = failure.message
    return message["message"] if isinstance(message, dict) else message
