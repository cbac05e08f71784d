"""What a process may use, and whether others used the machine while something was measured."""

import json
import multiprocessing
import os
import subprocess
import sys
import time

import pytest
import torch
from torch import nn

from engine.core import cores
from engine.measure import load
from engine.measure.profile import profile_network


@pytest.mark.parametrize(
    ("version", "quota", "found"),
    [
        (2, "max 100000", 6),
        (2, "250000 100000", 2),
        (2, "50000 100000", 1),
        (1, "300000", 3),
        (1, "-1", 6),
    ],
)
def test_cores_are_those_of_the_affinity_or_fewer_by_quota(
    tmp_path, monkeypatch, version, quota, found
):
    group = tmp_path / "cgroup" / ("cpu/docker" if version == 1 else "docker")
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(
        "4:cpu,cpuacct:/docker\n" if version == 1 else "0::/docker/own\n"
    )
    if version == 1:
        (group / "cpu.cfs_period_us").write_text("100000\n")
    (group / ("cpu.max" if version == 2 else "cpu.cfs_quota_us")).write_text(f"{quota}\n")
    monkeypatch.setattr(cores, "CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(cores, "PROC", tmp_path / "proc")
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: range(6))
    assert cores.cores() == found


def spin() -> None:
    """Use a core until killed."""
    while True:
        pass


@pytest.fixture
def busy():
    """Two busy loops on the core that this process is held to."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    loops = [
        multiprocessing.get_context("fork").Process(target=spin, daemon=True) for _ in range(2)
    ]
    for loop in loops:
        loop.start()
    yield
    for loop in loops:
        loop.kill()
        loop.join()
    os.sched_setaffinity(0, before)


def test_a_neighbour_on_the_same_core_is_told(busy):
    with load.watched() as found:
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            pass
    assert found["busy"] and found["waited"] > 0.3 and found["load"] > 0.3
    assert json.loads(json.dumps(found)) == found


def test_what_a_virtual_machine_was_refused_is_told(tmp_path, monkeypatch):
    (tmp_path / "stat").write_text("cpu  100 0 100 5000 0 0 0 50 0 0\ncpu0 1\n")
    monkeypatch.setattr(load, "PROC", tmp_path)
    with load.watched() as found:
        time.sleep(0.01)
        (tmp_path / "stat").write_text("cpu  100 0 100 5000 0 0 0 99000 0 0\ncpu0 1\n")
    assert "the host took" in found["busy"] and found["load"] == 0


def test_without_proc_everything_counts_as_quiet(tmp_path, monkeypatch):
    monkeypatch.setattr(load, "PROC", tmp_path)
    with load.watched() as found:
        pass
    assert found == {"load": 0.0, "stolen": 0.0, "waited": 0.0, "busy": False}


def test_costs_are_measured_again_until_the_machine_is_quiet(monkeypatch, one_thread):
    reasons = iter(["a", "b", *[False] * 6, "c", "d"] + ["e"] * 99)
    monkeypatch.setattr(load, "_reason", lambda **given: next(reasons))
    monkeypatch.setattr("engine.measure.repeats.STEADY", 1e9)  # whatever else this machine does
    monkeypatch.setattr("engine.measure.repeats.UNSTEADY", 1e9)
    found = profile_network(
        nn.Conv2d(3, 4, 3), 8, torch.device("cpu"), [2], runs=3, training=False, patience=30
    )
    assert [row["busy"] for row in found["costs"]] == [False, False] and found["busy"] is False
    assert next(reasons) == "c"  # the first row was tried five times
    found = profile_network(
        nn.Conv2d(3, 4, 3), 8, torch.device("cpu"), [1], runs=3, training=False, patience=0.2
    )
    assert found["busy"] == "d" or found["busy"] == "e"  # marked, after as long as was asked for


WAITING = (
    "import sys; assert 'torch' not in sys.modules; import {first}, torch; torch.ones(9).sum()"
)


@pytest.mark.parametrize(
    "first", ["flows.running.settings", "engine.core.digest", "benchmarks.study"]
)
def test_idle_threads_of_openmp_sleep(first):
    """What libgomp itself has read, before any variable of this process could help."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OMP_", "GOMP_", "KMP_"))
    }
    command = [sys.executable, "-c", WAITING.format(first=first)]
    done = subprocess.run(
        command, env=clean | {"OMP_DISPLAY_ENV": "verbose"}, capture_output=True, text=True
    )
    assert done.returncode == 0 and "OMP_WAIT_POLICY = 'PASSIVE'" in done.stderr, done.stderr[
        -2000:
    ]
