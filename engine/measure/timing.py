"""How long calls take on a device.

On a GPU, CUDA events between calls, read when all have ended: no call waits for the host. On a CPU,
its wall clock.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from math import nan
from statistics import median

import torch
from torch import Tensor, nn

from engine.core.allocator import keep_freed_memory, out_of_memory
from engine.core.layout import laid_out, placed
from engine.core.numerics import numerics

Shape = int | tuple[int, ...]  # of an input without the batch, or the pixels of a square image
CLOCKS = {"cuda": "cuda events", "cpu": "cpu wall clock"}


def random_inputs(batch: int, shape: Shape, where: torch.device) -> Tensor:
    """Random (batch, *shape), of images by their pixels.

    Not zeros: on those a GPU draws less power, and clocks higher.
    """
    shape = (3, shape, shape) if isinstance(shape, int) else shape
    return laid_out(torch.rand(batch, *shape, device=where))


def _between(call: Callable[[], object], where: torch.device, runs: int) -> Tensor:
    """Seconds of each of `runs` calls in a row."""
    if where.type == "cuda":
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(runs + 1)]
        stream = torch.cuda.current_stream(where)
        marks[0].record(stream)
        for mark in marks[1:]:
            call()
            mark.record(stream)
        torch.cuda.synchronize(where)
        return torch.tensor([start.elapsed_time(end) / 1e3 for start, end in pairwise(marks)])
    ticks = [time.perf_counter()]
    for _ in range(runs):
        call()
        ticks.append(time.perf_counter())
    # float32 has too few digits for microseconds of a clock that counts since the machine started
    return torch.tensor(ticks, dtype=torch.float64).diff()


def timed(call: Callable[[], object], where: torch.device, runs: int, seconds: float) -> Tensor:
    """Seconds of each of `runs` calls, fewer where they would take longer than `seconds` together.

    Warmed up.
    """
    _between(call, where, 2)  # memory and kernels are chosen in the first
    one = _between(call, where, 1).item()
    runs = max(3, min(runs, int(seconds / one)))
    _between(call, where, runs // 10)
    return _between(call, where, runs)


def _affordable(call: Callable[[], object], where: torch.device, seconds: float) -> int:
    """How many calls take `seconds`, at least one; none where memory runs out."""
    try:
        # of the second call: memory and kernels are chosen in the first
        one = _between(call, where, 2)[1].item()
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        return 0
    return max(1, min(50, int(seconds / one)))


@numerics()
def runtimes(
    networks: Sequence[tuple[nn.Module, Shape]],
    where: torch.device,
    batch: int,
    rounds: int = 5,
    seconds: float = 0.1,
) -> list[float]:
    """Median seconds of a forward pass of each (network, shape), nan where memory runs out.

    They take turns of `seconds`, lest what else the machine does falls on some of them only.
    """
    keep_freed_memory()  # as training does, else a CPU's times are those of fresh pages
    calls = [
        partial(placed(network, where).eval(), random_inputs(batch, shape, where))
        for network, shape in networks
    ]
    taken: list[list[float]] = [[] for _ in calls]
    with torch.inference_mode():  # only now: weights that it moved could not be trained afterwards
        runs = [_affordable(call, where, seconds) for call in calls]
        for _ in range(rounds):
            for call, times, count in zip(calls, taken, runs, strict=True):
                times += _between(call, where, count).tolist()
    return [median(times) if times else nan for times in taken]
