"""What TAGDAG_RUNNER says, and what is told when it cannot be so.

Tests/flows/test_pipeline.py runs a real one.
"""

import pytest

from flows.running import executors, runners
from flows.running.orchestrate import task


@pytest.fixture
def say(monkeypatch):
    """A Prefect server is named, and `say(value)` sets TAGDAG_RUNNER."""
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    for module in (runners, executors):
        monkeypatch.setattr(module, "cores", lambda: 6)
    return lambda value: monkeypatch.setenv("TAGDAG_RUNNER", value)


@task
def half(name: str, number: float) -> float:
    """A task."""
    return number / 2


@pytest.mark.parametrize(
    ("value", "found"),
    [("", None), ("processes", ("processes", 6)), ("processes:4", ("processes", 4))],
)
def test_runner_and_number_of_processes(say, value, found):
    say(value)
    assert runners.named_runner() == found


@pytest.mark.parametrize(
    "value", ["threads", "processes:0", "processes:many", "processes:-1", ":2"]
)
def test_what_is_no_runner_is_told(say, value):
    say(value)
    with pytest.raises(ValueError, match=f"TAGDAG_RUNNER={value}: give processes, dask or ray"):
        runners.named_runner()


def test_a_package_that_is_missing_is_told(say, monkeypatch):
    monkeypatch.setattr(runners.importlib.util, "find_spec", lambda name: None)
    say("ray:2")
    with pytest.raises(ValueError, match="needs ray: uv pip install"):
        runners.named_runner()
    found = {"ray": True}
    monkeypatch.setattr(runners.importlib.util, "find_spec", found.get)
    with pytest.raises(ValueError, match="needs prefect-ray: uv pip install"):
        runners.named_runner()


def test_without_a_server_processes_of_ours_call_the_tasks(say, monkeypatch):
    say("processes:2")
    monkeypatch.delenv("PREFECT_API_URL")
    told = []
    many = [("a", 1), ("b", 4), ("c", 2)]
    assert runners.map_task(half, many, lambda done, name: told.append((done, name))) == [0.5, 2, 1]
    assert told[0] == (0, "a") and [done for done, _ in told] == [0, 1, 2, 3]


def test_without_a_runner_tasks_are_called_in_their_order(say, monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL")
    told = []
    many = [("a", 1), ("b", 4), ("c", 2)]
    assert runners.map_task(half, many, lambda done, name: told.append((done, name))) == [0.5, 2, 1]
    assert told == [(0, "a"), (1, "b"), (2, "c")]


def test_processes_share_the_cores_unless_the_user_says_how(say, monkeypatch):
    monkeypatch.setitem(runners.RUNNERS, "processes", (lambda workers: workers, "prefect"))
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    say("processes:2")
    assert runners.task_runner() == 2 and runners.os.environ["OMP_NUM_THREADS"] == "5"
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert runners.task_runner() == 2 and runners.os.environ.pop("OMP_NUM_THREADS") == "3"
    say("")
    assert runners.task_runner() is None and "OMP_NUM_THREADS" not in runners.os.environ


def test_nonsense_in_tagdag_arms_is_refused_before_anything_runs(monkeypatch):
    monkeypatch.delenv("TAGDAG_RUNNER", raising=False)
    monkeypatch.setenv("TAGDAG_ARMS", "all")
    with pytest.raises(ValueError, match="TAGDAG_ARMS=all: give how many processes"):
        runners.named_runner()
