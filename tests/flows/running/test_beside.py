"""Pretrainings of later stages that are trained beside that of the present one."""

import subprocess
import sys

import psutil
import pytest

from flows.training import beside

NAMES = ["corpus", "search", "pretrain@a", "pretrain@b", "pretrain@c", "finetune@a"]
WAITS = "import sys; print('on', flush=True); sys.stdin.read(); print('off', flush=True)"


@pytest.fixture
def started(monkeypatch) -> dict[str, subprocess.Popen]:
    """What is started in the place of trainings: processes that end when their standard input is
    closed.
    """
    found: dict[str, subprocess.Popen] = {}

    def start(name: str) -> subprocess.Popen:
        found[name] = subprocess.Popen(
            [sys.executable, "-c", WAITS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return found[name]

    monkeypatch.setattr(beside, "_started", start)
    monkeypatch.setattr(beside, "would_run", lambda name: name != "pretrain@c")
    monkeypatch.setattr(beside, "cores", lambda: 4)
    monkeypatch.setattr(beside, "gpu_count", lambda: 0)
    monkeypatch.delenv("TAGDAG_WORKERS", raising=False)
    return found


def test_what_changed_is_trained_with_the_first_and_awaited_by_its_own_stage(started):
    with beside.trained_ahead(NAMES, False) as before:
        before("corpus")
        before("search")
        assert not started
        before("pretrain@a")
        assert list(started) == ["pretrain@b"], "pretrain@c is unchanged"
        started["pretrain@b"].stdin.close()  # its training is over
        before("pretrain@b")
        assert started["pretrain@b"].poll() == 0
        before("pretrain@c")
        before("finetune@a")
    assert list(started) == ["pretrain@b"]


def test_all_are_trained_by_force_as_far_as_there_are_cores(started, monkeypatch):
    with beside.trained_ahead(NAMES, True) as before:
        before("pretrain@a")
        assert list(started) == ["pretrain@b", "pretrain@c"]
    started.clear()
    monkeypatch.setattr(beside, "cores", lambda: 2)
    with beside.trained_ahead(NAMES, True) as before:
        before("pretrain@a")
        assert list(started) == ["pretrain@b"]


@pytest.mark.parametrize("where", ["one core", "a GPU", "several workers", "unchanged"])
def test_nothing_is_started_where_it_would_be_in_the_way(started, monkeypatch, where):
    if where == "one core":
        monkeypatch.setattr(beside, "cores", lambda: 1)
    if where == "a GPU":
        monkeypatch.setattr(beside, "gpu_count", lambda: 1)
    if where == "several workers":
        monkeypatch.setenv("TAGDAG_WORKERS", "2")
    if where == "unchanged":
        monkeypatch.setattr(beside, "would_run", lambda name: name != "pretrain@a")
    with beside.trained_ahead(NAMES, False) as before:
        before("pretrain@a")
    assert not started


def test_a_pipeline_that_ends_early_stops_them_in_order(started):
    with pytest.raises(KeyboardInterrupt), beside.trained_ahead(NAMES, False) as before:
        before("pretrain@a")
        assert started["pretrain@b"].stdout.readline() == "on\n"
        raise KeyboardInterrupt
    assert started["pretrain@b"].stdout.readline() == "off\n" and not psutil.pid_exists(
        started["pretrain@b"].pid
    )
