"""Plain functions in processes and on Dask: the same results, in their order.

Ray is not among the packages that tests need: `python -m benchmarks.corpus_workers` runs it.
"""

import os

import pytest
from distributed import LocalCluster

from corpus.spread import in_turn
from flows.running import executors
from flows.running.executors import Executor


def third(name: str, number: float) -> tuple[float, int]:
    if name == "odd":
        raise ValueError(f"odd: {number}")
    return number / 3, os.getpid()


@pytest.fixture(scope="module")
def cluster():
    """A Dask cluster that runs already."""
    with LocalCluster(**executors.dask_cluster(1)) as found:
        yield found


@pytest.mark.parametrize("kind", ["processes", "dask"])
def test_calls_go_to_others_and_come_back_in_order(kind, cluster, monkeypatch):
    monkeypatch.setenv("TAGDAG_DASK", cluster.scheduler_address)
    told = []
    many = [("a", 3), ("b", 12), ("c", 6)]
    found = Executor(kind, 2).map(third, many, told.append)
    assert [number for number, _ in found] == [1, 4, 2] and sorted(told) == [0, 1, 2]
    assert os.getpid() not in {process for _, process in found}
    with pytest.raises(ValueError, match="odd: 5"):
        Executor(kind, 2).map(third, [*many, ("odd", 5)], told.append)


def test_a_scheduler_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(executors, "ANSWER", 1)
    monkeypatch.setenv("TAGDAG_DASK", "tcp://127.0.0.1:1")
    with pytest.raises(ValueError, match="no Dask scheduler answers there: start it"):
        Executor("dask", 2).map(third, [("a", 3)], print)


def die(name: str) -> None:
    os._exit(1)


def test_a_process_that_dies_is_told():
    with pytest.raises(ValueError, match="a process died, as of want of memory"):
        Executor("processes", 2).map(die, [("a",), ("b",)], print)


def test_one_core_needs_no_other_process(monkeypatch):
    monkeypatch.setattr(executors, "cores", lambda: 1)
    monkeypatch.delenv("TAGDAG_RUNNER", raising=False)
    assert executors.spread() is in_turn
    monkeypatch.setattr(executors, "cores", lambda: 8)
    assert executors.spread() == Executor("processes", 8)
    monkeypatch.setenv("TAGDAG_RUNNER", "dask:4")
    assert executors.spread() == Executor("dask", 4)
