"""Flows and tasks: plain functions without a server, Prefect's with one, and nothing heavy is
imported to find out.
"""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from flows.running import prefectaway, showing
from flows.running.artifacts import link_artifact
from flows.running.orchestrate import flow, progress, task

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    monkeypatch.delenv("PREFECT_API_URL", raising=False)


@pytest.fixture
def prefect(monkeypatch):
    """A server is named, and Prefect is one that writes down what it is asked for."""
    seen = []

    def kind(name):
        def make(function, **settings):
            seen.append((name, function.__name__, settings))
            return lambda *args, **kwargs: ("prefect", function(*args, **kwargs))

        return make

    modules = {
        "prefect": {"flow": kind("flow"), "task": kind("task")},
        "prefect.cache_policies": {"NO_CACHE": "no cache"},
        "prefect.artifacts": {
            "create_link_artifact": lambda **options: seen.append(options),
            "create_progress_artifact": lambda value, **options: seen.append(value) or "artifact",
            "update_progress_artifact": lambda artifact, value, text: seen.append((value, text)),
        },
    }
    for name, members in modules.items():
        module = ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    monkeypatch.setattr(prefectaway, "_ask", lambda: None)
    return seen


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.serial
def test_pipeline_is_imported_at_once_and_without_the_heavy_ones():
    code = """if True:
        import json, sys, time
        start = time.perf_counter()
        import flows.pipeline
        heavy = {"torch", "mlflow", "prefect", "dvc", "optuna", "matplotlib"} & set(sys.modules)
        print(json.dumps([time.perf_counter() - start, sorted(heavy)]))"""
    seconds, heavy = json.loads(python(code))
    assert heavy == [] and seconds < 1.5


def test_without_a_server_prefect_is_never_imported():
    code = """if True:
        import sys
        from flows.running.artifacts import link_artifact
        from flows.running.orchestrate import flow, progress, task

        @task(retries=3)
        def half(x): return x / 2

        @flow
        def both(x, y=4): return half(x), half(y)

        link_artifact("key", "http://nowhere", "text")
        with progress("title") as show:
            show(1, 1)
        print(both(2), "prefect" in sys.modules)"""
    assert python(code) == "(1.0, 2.0) False\n"


@pytest.mark.parametrize("mark", [flow, task, flow(name="other"), task(retries=2)])
def test_marked_function_is_the_function(mark):
    @mark
    def halved(x: int, *, by: int = 2) -> float:
        """Doc."""
        return x / by

    assert halved(3) == 1.5 and halved(3, by=3) == 1
    assert (halved.__name__, halved.__doc__) == ("halved", "Doc.") and halved.__wrapped__
    with pytest.raises(ZeroDivisionError):
        halved(1, by=0)


def test_settings_reach_prefect_and_no_task_is_cached(prefect):
    @task(retries=2)
    def inner(x):
        return x + 1

    @flow(name="named")
    def outer(x):
        return inner(x)

    assert prefect == []  # nothing is built before it is called
    assert outer(1) == outer(1) == ("prefect", ("prefect", 2))
    assert prefect == [
        (
            "flow",
            "outer",
            {"validate_parameters": False, "flow_run_name": "outer", "name": "named"},
        ),
        ("task", "inner", {"retries": 2, "cache_policy": "no cache"}),
    ]


def test_own_cache_policy_is_kept(prefect):
    task(cache_policy="mine")(lambda: None)()
    assert prefect[0][2] == {"cache_policy": "mine"}


def test_flow_gives_prefects_own_object(prefect):
    assert flow(lambda: 7).prefect()() == ("prefect", 7)


def test_link_is_an_artifact_of_the_run(prefect):
    link_artifact("mlflow", "http://somewhere", "the run")
    assert prefect == [{"link": "http://somewhere", "link_text": "the run", "key": "mlflow"}]


@pytest.fixture
def clock(monkeypatch):
    """The time, set by hand."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(showing, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_progress_speaks_first_last_and_every_ten_seconds_between(clock, capsys):
    with progress("pretrain") as show:
        # a training that had done a hundred steps before it was killed
        for done in range(100, 131):
            clock.now += 1
            show(done, 130, f"loss {done / 100}, loader wait 3 %")
    lines = capsys.readouterr().err.splitlines()
    told = [(100, ""), (110, ", 20 s left"), (120, ", 10 s left"), (130, ", 0 s left")]
    assert lines == [
        f"pretrain {n}/130, {n - 99} s{left}: loss {n / 100}, loader wait 3 %" for n, left in told
    ]


def test_progress_is_a_bar_on_a_terminal(clock, monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with progress("pretrain") as show:
        for done in range(1, 11):
            clock.now += 0.1
            show(done, 10, f"loss {done}.5")
    drawn = capsys.readouterr().err
    assert "loss 10.5" in drawn and "10/10" in drawn and "loss 2.5" not in drawn


@pytest.mark.serial
def test_progress_costs_nothing_while_nothing_is_due(prefect, capsys):
    spent = []
    with progress("pretrain") as show:
        for done in range(1, 5001):
            start = time.perf_counter()
            show(done, 10_000, "loss")
            spent.append(1e6 * (time.perf_counter() - start))
    assert sorted(spent)[len(spent) // 2] < 5


def test_progress_is_an_artifact_with_a_server(prefect, capsys):
    with progress("search") as show:
        show(1, 2, "trial 1")
        wait_for(lambda: len(prefect) > 1)
        show(2, 2)
    assert prefect == [0.0, (50.0, "search trial 1"), (100.0, "search")]


def wait_for(condition):
    """Until another thread has done something."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("states", "last"),
    [
        (
            [(0, 7), (6, 7)],
            "7/7",
        ),  # costs are told before each is measured: the last one was 6 of 7
        ([(3, None)], "3/3"),  # of a stream whose length nobody knows
        ([(4, 4), (0, 2), (1, 2)], "6/6"),  # tests, then costs
        ([(3, 6), (4, 8), (8, 8)], "8/8"),  # a total that was an estimate
        ([(5, None), (0, 2), (2, 2)], "2/2"),
        ([(2, 2)], "2/2"),
        ([(0, 0)], "0/?"),
    ],
    ids=str,
)
def test_every_progress_reaches_its_end(prefect, capsys, states, last):
    with progress("evaluate") as show:
        for state in states:
            show(*state)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith(f"evaluate {last}, ") and len(set(lines)) == len(lines)
    assert last == "0/?" or prefect[-1][0] == 100.0


def test_the_last_state_stays_after_an_error(prefect, capsys):
    with pytest.raises(KeyError), progress("evaluate") as show:
        show(3, 7)
        raise KeyError
    assert capsys.readouterr().err.startswith("evaluate 3/7") and prefect[-1][0] < 50


def test_what_is_never_told_of_shows_nothing(prefect, capsys):
    with progress("evaluate"):
        pass
    assert (prefect, capsys.readouterr().err) == ([], "")


def test_loops_one_after_another_are_one_whole(clock, capsys):
    with progress("evaluate") as show:
        for steps in (3, 2):
            for done in range(1, steps + 1):
                clock.now += 10
                show(done, steps, "x")
                show(done, steps, "y")
    told = [line.split(",")[0] for line in capsys.readouterr().err.splitlines()]
    assert list(dict.fromkeys(told)) == [
        f"evaluate {n}" for n in ("1/3", "2/3", "3/3", "4/5", "5/5")
    ]


def test_the_time_left_is_that_of_the_present_piece_of_work(clock, capsys):
    with progress("corpus") as show:
        for total, seconds in ((4, 10), (300, 20)):
            for done in range(1, 4):
                clock.now += seconds
                show(done, total, "")
        show(300, 300, "")
    left = [line.rpartition(", ")[2] for line in capsys.readouterr().err.splitlines()]
    assert left == [
        "10 s",
        "20 s left",
        "10 s left",
        "50 s",
        "5960 s left",
        "5940 s left",
        "0 s left",
    ]


def test_a_slow_server_is_told_the_end_and_not_every_step(prefect, monkeypatch, capsys):
    begun, go = threading.Event(), threading.Event()
    make = sys.modules["prefect.artifacts"].create_progress_artifact

    def slow(*given, **named):
        begun.set()
        go.wait(20)
        return make(*given, **named)

    monkeypatch.setattr(sys.modules["prefect.artifacts"], "create_progress_artifact", slow)
    with progress("search") as show:
        show(1, 1, "a")
        begun.wait(20)
        for _ in range(100):
            show(1, 1, "b")
        show(9, 10)
        go.set()
    assert prefect == [0.0, (100.0, "search a"), (100.0, "search")]


def test_a_prefect_server_that_hangs_or_fails_holds_nothing_up(
    prefect, monkeypatch, caplog, capsys
):
    answer = threading.Event()

    def away(*arguments, **options):
        answer.wait(10)
        raise RuntimeError("no server")

    monkeypatch.setattr(sys.modules["prefect.artifacts"], "create_progress_artifact", away)
    with progress("search") as show:
        start = time.perf_counter()
        for _ in range(3):
            show(2, 2)
        assert time.perf_counter() - start < 1
        answer.set()
    [record] = caplog.records
    assert record.message == "Prefect does not take the progress of search at present: no server"


def test_names_in_progress_neither_steer_a_terminal_nor_are_markup(monkeypatch, capsys):
    name = "\x1b]0;title\x07[/red][bold]\u202e.jpg"
    with progress("import") as show:
        show(1, 1, name)
    assert r"\x1b]0;title\x07[/red][bold]\u202e.jpg" in capsys.readouterr().err
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal: the bar
    with progress("import") as show:
        show(1, 1, name)
    told = capsys.readouterr().err
    assert "\x1b]0;" not in told and "\u202e" not in told and "[/red][bold]" in told
