"""The workers of a search on one machine: how many, how they begin and end, the same results
whatever their number.
"""

import hashlib
import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from flows.searching import deaths, worker, workers
from flows.searching.checks import most_workers
from flows.searching.workers import LocalWorkers, local_workers, threads_each, worker_count
from tests.flows.searching.test_search import searched, shards  # noqa: F401 - fixtures
from tests.support.servers import wait_for


@pytest.fixture
def machine(monkeypatch):
    """`machine(cores, gpus, gib)`: what there seems to be."""
    for name in ("TAGDAG_SEARCHERS", "TAGDAG_WORKERS", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)

    def seems(cores: int, gpus: int = 0, gib: int = 64) -> None:
        monkeypatch.setattr(workers, "cores", lambda: cores)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        memory = SimpleNamespace(available=gib << 30, total=gib << 30)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)

    return seems


@pytest.mark.parametrize(
    ("there", "env", "most", "expected"),
    [
        ((1,), {}, 7, 1),
        ((2,), {}, 7, 2),
        ((16,), {}, 7, 7),
        ((16,), {}, None, 16),
        ((16, 0, 6), {}, 7, 4),  # GiB
        ((16, 0, 0), {}, 7, 1),
        ((16, 1), {}, 7, 1),
        ((16, 4), {}, 7, 4),
        ((16, 4), {"CUDA_VISIBLE_DEVICES": "1,2,3,5"}, 7, 4),
        ((16,), {"TAGDAG_WORKERS": "2"}, 7, 1),
        ((16,), {"TAGDAG_WORKERS": "1"}, 7, 7),
        ((2,), {"TAGDAG_SEARCHERS": "4"}, 2, 4),
    ],
)
def test_the_number_of_workers_follows_the_machine(
    machine, monkeypatch, there, env, most, expected
):
    machine(*there)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert worker_count(most) == expected


PLAIN = {
    "sampler": {"name": "RandomSampler"},
    "pruner": {"name": "NopPruner"},
    "objectives": ["error", "flops"],
    "latency_ms": None,
    "trials": 6,
    "images": None,
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 7),
        ({"trials": None}, None),
        ({"sampler": {"name": "TPESampler"}}, 1),
        ({"sampler": {"name": "QMCSampler"}}, 1),
        ({"pruner": {"name": "MedianPruner"}}, 1),
        ({"latency_ms": [1, 2]}, 1),
        ({"objectives": ["error", "latency_ms"]}, 1),
        ({"images": 1000}, 1),
    ],
)
def test_networks_whose_order_matters_are_trained_one_after_another(changes, expected):
    assert most_workers(PLAIN | changes) == expected


@pytest.mark.parametrize("said", ["two", "0", "-1"])
def test_a_number_of_workers_that_is_none_is_told(monkeypatch, said):
    monkeypatch.setenv("TAGDAG_SEARCHERS", said)
    with pytest.raises(
        ValueError, match=f"TAGDAG_SEARCHERS={said}: give a whole number from 1 to 256"
    ):
        worker_count()


def test_threads_are_one_on_a_cpu_and_shared_beside_gpus(machine):
    machine(8)
    assert [threads_each(n) for n in (1, 2, 8)] == [1, 1, 1]
    machine(8, 2)
    assert [threads_each(n) for n in (1, 2, 16)] == [8, 4, 1]


def test_one_core_starts_no_other_worker(machine, monkeypatch):
    machine(1)
    shared = "it would only share the core"
    monkeypatch.setattr(LocalWorkers, "start", lambda *_: pytest.fail(shared))
    before = torch.get_num_threads()
    with local_workers(7) as others:
        others.begin(None)
        others.poll()
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before and "TAGDAG_WORKERS" not in os.environ


def files() -> dict[str, str]:
    """What the search wrote, by name."""
    found = (path for path in Path("out/search").rglob("*") if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def test_side_by_side_writes_the_bytes_of_one_after_another(searched, monkeypatch):  # noqa: F811
    changes = {"trials": 4, "epochs": 2}
    rows, alone = searched(**changes), files()
    for used in (".tagdag", "out/search"):
        Path(used).rename(Path(used).name + ".before")
    monkeypatch.delenv("TAGDAG_SEARCHERS")
    monkeypatch.setattr(workers, "cores", lambda: 2)
    run_trial = worker.run_trial

    def pids(trial) -> set[int]:
        users = [one.user_attrs for one in trial.study.get_trials(deepcopy=False)]
        return {user["worker"]["pid"] for user in users if "worker" in user}

    def patient(trial, key, name, *rest):
        row = run_trial(trial, key, name, *rest)
        if name.startswith("trial"):
            # else a busy machine starts the other worker when all networks are trained
            wait_for(lambda: len(pids(trial)) == 2, 120)
        return row

    monkeypatch.setattr(worker, "run_trial", patient)
    assert searched(**changes) == rows and files() == alone
    assert not [
        child for child in psutil.Process().children() if "flows.searcher" in child.cmdline()
    ]


class Blamed:
    """A search whose worker was seen to die."""

    networks, finals = "networks", "finals"


@pytest.mark.parametrize(
    ("number", "share", "blamed"),
    [
        (signal.SIGKILL, 1 << 50, 0),
        (signal.SIGKILL, 1, 2),
        (signal.SIGABRT, 1 << 50, 2),
        (signal.SIGTERM, 1, 0),
    ],
)
def test_a_worker_that_a_signal_ends_is_started_again(place, monkeypatch, number, share, blamed):
    told = []

    def record(study, pid, reason):
        told.append((study, pid))

    monkeypatch.setattr(workers, "record_death", record)
    monkeypatch.setattr(deaths, "memory", lambda: share)
    monkeypatch.setenv("TAGDAG_SEARCHERS", "2")
    with pytest.raises(ZeroDivisionError), local_workers() as others:
        [first] = others.children
        others.search = Blamed()
        first.send_signal(number)
        until = time.monotonic() + 60
        while others.children[0] is first and time.monotonic() < until:
            others.poll()
            time.sleep(0.02)
        [second] = others.children
        assert psutil.Process(second.pid).is_running() and second.pid != first.pid
        assert [pid for _, pid in told] == [first.pid] * blamed
        raise ZeroDivisionError
    assert second.returncode is not None and not psutil.pid_exists(second.pid)
