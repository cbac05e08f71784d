"""What a record of costs holds, and peak memory against what must be alive at once."""

import pytest
import torch
from torch import nn

from engine.profile import device_name, profile

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("one_thread")


class Mean(nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def net() -> nn.Module:
    hidden = [nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()] * 3
    return nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), *hidden, Mean(), nn.Linear(32, 5))


def biggest_pair(network: nn.Module, inputs: torch.Tensor) -> int:
    """Bytes of the largest input and output of one layer, inputs of the network left out."""
    pairs, x = [], inputs
    for layer in network:
        y = layer(x)
        if y.data_ptr() != x.data_ptr() and x is not inputs:
            pairs.append(4 * (x.numel() + y.numel()))
        x = y
    return max(pairs)


def test_record_is_complete_and_in_order():
    found = profile(net(), 16, CPU, batch=4, runs=20)
    assert list(found) == [
        "latency_p50_ms",
        "latency_p95_ms",
        "latency_p99_ms",
        "images_per_second",
        "peak_memory_mib",
        "device",
        "dtype",
        "batch",
    ]
    assert 0 < found["latency_p50_ms"] <= found["latency_p95_ms"] <= found["latency_p99_ms"] < 1000
    assert found["images_per_second"] > 0
    assert (found["dtype"], found["batch"], found["device"]) == ("float32", 4, device_name(CPU))
    assert device_name(CPU).endswith("(1 threads)") and len(device_name(CPU)) > len(" (1 threads)")


@torch.no_grad()
def test_peak_memory_is_that_of_the_largest_pair():
    network, peaks = net(), {}
    weights = 4 * sum(p.numel() for p in network.parameters())
    for batch in (1, 8, 32):
        least = weights + biggest_pair(network, torch.zeros(batch, 3, 32, 32))
        peaks[batch] = profile(network, 32, CPU, batch, runs=3)["peak_memory_mib"] * 2**20
        assert least <= peaks[batch] < 1.1 * least + 2**16
    assert peaks[1] < peaks[8] < peaks[32]


def test_peak_memory_does_not_depend_on_what_else_is_alive():
    ballast, network = torch.zeros(2**22), net()
    first = profile(network, 16, CPU, 4, runs=3)["peak_memory_mib"]
    del ballast
    assert profile(network, 16, CPU, 4, runs=3)["peak_memory_mib"] == pytest.approx(first)


def test_speed_is_that_of_the_network(monkeypatch):
    """A layer that sleeps 20 ms: latency cannot be less, throughput not more than 50 batches a second."""
    import time

    class Sleep(nn.Module):
        def forward(self, x):
            time.sleep(0.02)
            return x.mean((2, 3))

    found = profile(Sleep(), 8, CPU, batch=10, runs=5)
    assert 20 <= found["latency_p50_ms"] < 60 and 150 < found["images_per_second"] <= 500


def test_profiled_network_can_be_trained():
    network = net()
    profile(network, 16, CPU, 2, runs=3)
    network(torch.zeros(2, 3, 16, 16)).sum().backward()
