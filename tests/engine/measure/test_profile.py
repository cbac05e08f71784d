"""What a record of costs holds, and peak memory against what must be alive at once."""

import time
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from engine.measure import repeats as repeats_
from engine.measure.profile import device_name, profile_network
from flows.reports.search import plots
from flows.searching import trial
from flows.searching.trials import Trials

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("one_thread")


def told(monkeypatch, *repeats: tuple[float, str | bool], patience: float = 30.0) -> tuple:
    """What is made of repeats that take (seconds, busy): seconds, and what is said of them."""
    left = iter(repeats)
    reasons = []

    @contextmanager
    def watched():
        yield (found := {"load": 0.0, "stolen": 0.0, "waited": 0.0, "busy": False})
        found["busy"] = reasons.pop()

    def measured() -> torch.Tensor:
        seconds, busy = next(left)
        reasons.append(busy)
        return torch.full((3,), seconds)

    monkeypatch.setattr(repeats_, "watched", watched)
    monkeypatch.setattr(repeats_.time, "sleep", lambda _: None)
    taken, about = repeats_.measure_quietly(measured, patience)
    spread = round(about["latency_spread"], 3)
    return round(taken.median().item(), 4), about["busy"], about["repeats"], spread


def test_the_median_of_quiet_repeats_is_told(monkeypatch):
    assert told(monkeypatch, (1.0, False), (1.05, False), (1.02, False)) == (1.02, False, 3, 0.049)
    fast, slow = (0.5, "others"), (9.0, "others")
    found = told(monkeypatch, fast, (1.0, False), slow, (1.05, False), (1.02, False))
    assert found[:3] == (1.02, False, 3)


def test_repeats_go_on_until_the_last_few_agree(monkeypatch):
    found = told(monkeypatch, *((seconds, False) for seconds in (4.0, 2.0, 1.0, 1.01, 1.02)))
    assert found == (1.01, False, 3, 0.02)


def test_times_that_stay_unsteady_or_busy_are_marked(monkeypatch):
    seconds = iter(range(99))
    # patience of three repeats
    monkeypatch.setattr(repeats_.time, "monotonic", lambda: next(seconds))
    unsteady = [(1.0, False), (2.0, False), (4.0, False)]
    taken, busy, count, spread = told(monkeypatch, *unsteady, patience=3)
    assert (taken, count, spread) == (2.0, 3, 1.5) and "repeats differ by 150 %" in busy
    assert told(monkeypatch, (3.0, "a"), (2.0, "b"), (4.0, "a"), patience=3) == (2.0, "b", 3, 0.667)
    found = told(monkeypatch, (3.0, False), (2.0, "b"), (4.0, "a"), patience=3)
    assert found == (3.0, False, 1, 0.0)


@pytest.mark.parametrize("busy", [False, "others"])
def test_a_search_marks_a_busy_latency_and_puts_it_on_no_front(monkeypatch, busy):
    given = []
    monkeypatch.setattr(trial, "build", lambda *_, **__: None)
    found = {"latency_p50_ms": 1.0, "busy": busy}
    monkeypatch.setattr(trial, "profile_network", lambda *_, **more: given.append(more) or found)
    row = trial.latency({}, {"latency_ms": None, "objectives": ["error", "latency_ms"]}, 32)
    marked = {"latency_busy": "others"} if busy else {}
    assert row == {"latency_ms": 1.0} | marked and given[0]["patience"] > 0
    about = {"outcome": "complete", "latency_ms": 2.0}
    slow = about | {"trial": 0, "error": 10.0, "flops": 2}
    trials = Trials([slow, about | {"trial": 1, "error": 11.0, "flops": 1} | row])
    assert plots.front(trials, "latency_ms").tolist() == [True, not busy]
    assert plots.front(trials, "flops").tolist() == [True, True]


def test_without_patience_it_is_measured_once(monkeypatch):
    assert told(monkeypatch, (3.0, "a"), patience=0) == (3.0, "a", 1, 0.0)


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
    found = profile_network(net(), 16, CPU, batches=[8, 4], runs=20)
    assert list(found) == [
        "latency_p50_ms",
        "latency_p95_ms",
        "latency_p99_ms",
        "latency_spread",
        "images_per_second",
        "peak_memory_mib",
        "batch",
        "device",
        "clock",
        "dtype",
        "busy",
        "load",
        "stolen",
        "waited",
        "costs",
    ]
    assert (found["dtype"], found["batch"], found["device"]) == ("float32", 8, device_name(CPU))
    assert found["clock"] == "cpu wall clock"
    assert device_name(CPU).endswith("(1 threads)") and len(device_name(CPU)) > len(" (1 threads)")
    shape = [("inference", 1), ("inference", 4), ("inference", 8), ("training", 4), ("training", 8)]
    assert [(row["mode"], row["batch"]) for row in found["costs"]] == shape
    one, largest = found["costs"][0], found["costs"][2]
    for row in found["costs"]:
        assert 0 < row["latency_p50_ms"] <= row["latency_p95_ms"] <= row["latency_p99_ms"] < 1000
        assert row["images_per_second"] == pytest.approx(1e3 * row["batch"] / row["latency_p50_ms"])
        assert row["asked"] == row["batch"] and 3 <= row["runs"] <= 20
    assert found["latency_p99_ms"] == one["latency_p99_ms"]
    assert all(found[key] == largest[key] for key in ("images_per_second", "peak_memory_mib"))


@torch.no_grad()
def test_peak_memory_is_that_of_the_largest_pair():
    network, peaks = net(), {}
    weights = 4 * sum(p.numel() for p in network.parameters())
    for batch in (1, 8, 32):
        least = weights + biggest_pair(network, torch.zeros(batch, 3, 32, 32))
        peaks[batch] = (
            profile_network(network, 32, CPU, [batch], 3, training=False)["peak_memory_mib"] * 2**20
        )
        assert least <= peaks[batch] < 1.1 * least + 2**16
    assert peaks[1] < peaks[8] < peaks[32]


def test_peak_memory_does_not_depend_on_what_else_is_alive():
    ballast, network = torch.zeros(2**22), net()
    first = profile_network(network, 16, CPU, [4], runs=3)["peak_memory_mib"]
    del ballast
    assert profile_network(network, 16, CPU, [4], runs=3)["peak_memory_mib"] == pytest.approx(first)


@pytest.mark.serial
def test_speed_is_that_of_the_network():
    """A layer that sleeps 20 ms: latency cannot be less, throughput not more than 50 batches a
    second.
    """

    class Sleep(nn.Module):
        def forward(self, x):
            time.sleep(0.02)
            return x.mean((2, 3))

    found = profile_network(Sleep(), 8, CPU, batches=[10], runs=5, training=False)
    assert 20 <= found["latency_p50_ms"] < 60 and 150 < found["images_per_second"] <= 500


def test_training_is_a_step_and_its_memory_holds_what_backward_needs():
    """Weights, momentum and gradients, and the output of each layer."""
    network, batch = net(), 16
    used, trained = profile_network(network, 32, CPU, [batch], runs=5)["costs"][1:]
    outputs = 4 * (batch * 32 * 32 * 32)
    weights = 4 * sum(p.numel() for p in network.parameters())
    assert (
        trained["peak_memory_mib"] * 2**20 >= 3 * weights + 4 * outputs
    )  # four convolutions, ReLUs in addition
    assert trained["peak_memory_mib"] > 1.5 * used["peak_memory_mib"]


def test_profiling_leaves_the_weights_alone_and_trainable():
    network = nn.Sequential(net()[0], nn.BatchNorm2d(32), Mean(), nn.Linear(32, 5))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    profile_network(network, 16, CPU, [2], runs=3)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    network(torch.zeros(2, 3, 16, 16)).sum().backward()


def test_slow_networks_are_run_less_often():
    class Sleep(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            time.sleep(0.01)
            return x.mean((2, 3))

    slow = Sleep()
    [row] = profile_network(slow, 8, CPU, [1], runs=1000, seconds=0.1, training=False)["costs"]
    assert 3 <= row["runs"] <= 10 and slow.calls <= 16


class Limited(nn.Module):
    """Runs out of memory above a batch, for use and for training each its own, as GPUs and CPUs
    put it.
    """

    def __init__(self, limit: int, training_limit: int, error: Exception) -> None:
        super().__init__()
        self.limits, self.error = (limit, training_limit), error
        self.layer = nn.Linear(3, 4)

    def forward(self, x):
        if len(x) > self.limits[self.training]:
            raise self.error
        return self.layer(x.mean((2, 3)))


def spent() -> RuntimeError:
    """The error of a CPU's allocator, from the allocator."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**55, dtype=torch.int8)
    return caught.value


ERRORS = [torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), spent()]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize(
    ("limit", "training_limit"), [(100, 100), (64, 16), (63, 7), (5, 2), (1, 3)]
)
def test_half_the_batch_is_tried_when_memory_runs_out(limit, training_limit, error):
    found = profile_network(Limited(limit, training_limit, error), 8, CPU, [1, 8, 64], runs=3)
    asked = [
        ("inference", 1),
        ("inference", 8),
        ("inference", 64),
        ("training", 8),
        ("training", 64),
    ]
    assert [(row["mode"], row["asked"]) for row in found["costs"]] == asked
    for row in found["costs"]:
        bound = limit if row["mode"] == "inference" else training_limit
        assert row["batch"] == max(
            row["asked"] >> n for n in range(7) if row["asked"] >> n <= bound
        )
    assert found["batch"] == found["costs"][2]["batch"]


def test_errors_that_a_smaller_batch_does_not_mend():
    with pytest.raises(ValueError, match="even with a batch of 1"):
        profile_network(Limited(0, 0, ERRORS[0]), 8, CPU, [4], runs=3)
    with pytest.raises(RuntimeError, match="shapes"):
        profile_network(Limited(0, 0, RuntimeError("shapes do not fit")), 8, CPU, [4], runs=3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_events_are_the_clock_and_memory_is_the_limit():
    where = torch.device("cuda")
    found = profile_network(net(), 32, where, [1, 64], runs=20)
    assert found["clock"] == "cuda events" and found["costs"][0]["latency_p50_ms"] < 100
    total = torch.cuda.get_device_properties(where).total_memory
    huge = int(
        total / (4 * 32 * 512**2)
    )  # one of its layers' outputs alone is as large as the memory
    row = profile_network(net(), 512, where, [huge], runs=3, seconds=0.1)["costs"][1]
    assert row["batch"] < row["asked"] == huge
