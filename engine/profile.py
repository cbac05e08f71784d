"""What a network costs when it runs: latency percentiles, throughput and peak memory, with the device named."""

import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn


def device_name(where: torch.device) -> str:
    """The GPU's product name, or the CPU's with the number of threads that torch uses."""
    if where.type == "cuda":
        return torch.cuda.get_device_name(where)
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.machine()} ({torch.get_num_threads()} threads)"


def _timed(call: Callable[[], object], where: torch.device, runs: int) -> torch.Tensor:
    """Seconds of each of `runs` calls after a tenth as many to warm up."""
    seconds = []
    for run in range(-max(3, runs // 10), runs):
        start = time.perf_counter()
        call()
        if where.type == "cuda":
            torch.cuda.synchronize(where)
        if run >= 0:
            seconds.append(time.perf_counter() - start)
    return torch.tensor(seconds)


def _peak_bytes(call: Callable[[], object], where: torch.device) -> int:
    """Largest sum of tensor bytes alive during the call: the allocator's on a GPU, the profiler's records on a CPU."""
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats(where)
        before = torch.cuda.memory_allocated(where)
        call()
        torch.cuda.synchronize(where)
        return torch.cuda.max_memory_allocated(where) - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    alive = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        alive += event.nbytes()
        peak = max(peak, alive)
    return peak


def profile(
    network: nn.Module, size: int, where: torch.device, batch: int = 64, runs: int = 100
) -> dict[str, float | str]:
    """Latency of one image in ms (p50, p95, p99), images/s and peak MiB at `batch`; inputs float32 (n, 3, size, size).

    Peak memory is the weights plus the largest sum of tensors alive in a forward pass, inputs left out.
    """
    network = network.to(where, memory_format=torch.channels_last).eval()
    one, many = (
        torch.zeros(n, 3, size, size, device=where).contiguous(memory_format=torch.channels_last) for n in (1, batch)
    )
    with torch.inference_mode():
        latency = 1e3 * _timed(lambda: network(one), where, runs).quantile(torch.tensor([0.5, 0.95, 0.99]))
        throughput = batch / _timed(lambda: network(many), where, max(5, runs // 10)).median().item()
        peak = _peak_bytes(lambda: network(many), where)
    weights = sum(t.numel() * t.element_size() for t in [*network.parameters(), *network.buffers()])
    return {
        "latency_p50_ms": latency[0].item(),
        "latency_p95_ms": latency[1].item(),
        "latency_p99_ms": latency[2].item(),
        "images_per_second": throughput,
        "peak_memory_mib": (weights + peak) / 2**20,
        "device": device_name(where),
        "dtype": str(one.dtype).removeprefix("torch."),
        "batch": batch,
    }
