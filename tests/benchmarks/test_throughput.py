"""The arithmetic of benchmarks.throughput, and that its clock sees what a training loop does."""

import json

import pytest
import torch
from torch import nn

from benchmarks.throughput import OURS, SYNTHETIC, Setting, Timing, alternatives, table, timing
from benchmarks.throughput_sides import Clock


def test_timing_leaves_the_first_steps_out():
    stamps = {"begun": [0.0, 5.0, 8.0, 10.0], "ended": [4.0, 6.0, 9.0, 16.0], "memory": 0}
    assert timing(stamps, warm=2, batch=20) == Timing(
        rate=2 * 20 / 10.0, outside=(2.0 + 1.0) / 10.0, memory=0
    )


def test_clock_stamps_every_step_and_ends_the_run(tmp_path):
    network, out = nn.Linear(2, 1), tmp_path / "stamps.json"
    solver = torch.optim.SGD(network.parameters(), lr=0.1)
    clock = Clock(steps=3, warm=1, out=out)
    network.register_forward_pre_hook(clock.begin)
    network.eval()(torch.ones(1, 2))  # not a training step
    network.train()
    with pytest.raises(SystemExit):
        for _ in range(9):
            network(torch.ones(1, 2)).sum().backward()
            solver.step()
    clock.hook.remove()
    stamps = json.loads(out.read_text())
    assert len(stamps["begun"]) == len(stamps["ended"]) == 3
    times = [time for pair in zip(stamps["begun"], stamps["ended"], strict=True) for time in pair]
    assert times == sorted(times)


def test_table_takes_ratios_within_rounds():
    ours, bare, peer = Setting(OURS, 2), Setting(SYNTHETIC, 2), Setting("timm", 1, 2)
    rates = {ours: [100.0, 10.0, 60.0], bare: [200.0, 20.0, 80.0], peer: [50.0, 8.0, 20.0]}
    timings = {}
    for setting, values in rates.items():
        timings[setting] = [Timing(rate, 0.25, 0) for rate in values]
    lines = list(table(timings))
    assert lines[-1] == "| timm | 1 threads, 2 workers | 20 | 2.00 (1.25 to 3.00) | 0.25 | 25% |"
    assert "| 60 | 1.00 (1.00 to 1.00) | 0.50 | 25% |" in lines[2]


def test_every_share_of_the_cores_is_tried():
    tried = {(setting.threads, setting.workers) for setting in alternatives("timm", cores=2)}
    assert tried == {(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)}
