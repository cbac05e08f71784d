"""Slots that workers share: none lost, none filled twice, whoever dies, whatever the storage
does.
"""

import itertools
import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from flows.searching import deaths, storage
from flows.searching import study as studies
from flows.searching.storage import connect, open_study
from flows.searching.study import Ended, SlotQueue, holders, outcome, record_death

ODD = [
    "postgresql://tagdag:hun@secret@127.0.0.1:1/base",
    "postgresql://tagdag:secret@127.0.0.1:/base",
]
SLOTS = 12
spawn = multiprocessing.get_context("spawn")


def work(folder: Path, name: str, slots: int, seconds: float, gate=None) -> None:
    """Fill slots; each one filled is a file, with a line for every time."""

    def fill(trial, slot):
        time.sleep(seconds)
        with (folder / f"{slot}").open("a") as file:
            file.write(f"{os.getpid()}\n")
        return [float(slot)]

    plan = SlotQueue(
        open_study(connect(folder / "search.db"), name, 1), lambda trials: list(range(slots)), fill
    )
    if gate:
        gate.wait(60)  # all begin at once
    plan.work()


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request, monkeypatch):
    if request.param == "postgresql":
        monkeypatch.setenv("TAGDAG_SEARCH_STORAGE", request.getfixturevalue("postgres_server").url)
    return request.param


def test_workers_fill_every_slot_once(tmp_path, kind, workers=4):
    name = f"once {tmp_path}"
    gate = spawn.Barrier(workers)
    processes = [
        spawn.Process(target=work, args=(tmp_path, name, SLOTS, 0.05, gate)) for _ in range(workers)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    filled = {slot: (tmp_path / f"{slot}").read_text().split() for slot in range(SLOTS)}
    assert all(len(pids) == 1 for pids in filled.values())
    assert len(set(itertools.chain(*filled.values()))) > 1, "one worker did it all"
    trials = open_study(connect(tmp_path / "search.db"), name, 1).get_trials()
    assert {slot: outcome(trial) for slot, trial in holders(trials).items()} == dict.fromkeys(
        range(SLOTS), "complete"
    )


def test_a_worker_killed_again_and_again_loses_no_slot(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(studies, "GRACE", 5)  # of one that was killed before it could say its name
    name, draws = f"kills {tmp_path}", random.Random(0)
    study = open_study(connect(tmp_path / "search.db"), name, 1)
    for _ in range(3):
        victim = spawn.Process(target=work, args=(tmp_path, name, 8, 0.5))
        victim.start()
        while not any(
            t.user_attrs.get("worker", {}).get("pid") == victim.pid
            for t in study.get_trials(deepcopy=False)
        ):
            assert victim.is_alive()
            time.sleep(0.02)
        time.sleep(draws.uniform(0, 0.8))
        os.kill(victim.pid, signal.SIGKILL)
        victim.join()
    work(tmp_path, name, 8, 0)
    trials = study.get_trials()
    assert {slot: outcome(trial) for slot, trial in holders(trials).items()} == dict.fromkeys(
        range(8), "complete"
    )
    cut_short = [trial for trial in trials if trial.state == TrialState.FAIL]
    lines = sum(len((tmp_path / f"{slot}").read_text().split()) for slot in range(8))
    assert cut_short and 8 <= lines <= 8 + len(cut_short), (
        "killed between its work and telling of it"
    )


def test_a_base_of_another_program_is_told(postgres_server, monkeypatch, tmp_path):
    import psycopg

    with psycopg.connect(postgres_server.url, autocommit=True) as base:
        base.execute("CREATE DATABASE shared")
    url = postgres_server.url.removesuffix("tagdag") + "shared"
    with psycopg.connect(url, autocommit=True) as base:
        base.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
        base.execute(
            "INSERT INTO alembic_version VALUES ('451aebb31d03')"
        )  # a revision of MLflow's
    monkeypatch.setenv("TAGDAG_SEARCH_STORAGE", url)
    with pytest.raises(
        ValueError, match=r"another program uses too, such as MLflow.* a base of its own"
    ):
        connect(tmp_path / "unused")


def plan(folder, fill, slots=(0,), name="plan"):
    study = open_study(connect(folder / "search.db"), name, 1)
    return SlotQueue(study, lambda trials: list(slots), fill)


def test_a_network_that_ends_otherwise_holds_its_slot(tmp_path):
    def fill(trial, slot):
        raise Ended("diverged", "the loss of step 3 is nan")

    one = plan(tmp_path, fill)
    one.work()
    one.work()
    [trial] = one.study.get_trials()
    assert (
        outcome(trial) == "diverged" and trial.user_attrs["reason"] == "the loss of step 3 is nan"
    )


def test_an_attempt_that_was_stopped_is_made_again(tmp_path):
    def stopped(trial, slot):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan(tmp_path, stopped).work()
    again = plan(tmp_path, lambda trial, slot: [1.0])
    again.work()
    assert [trial.state for trial in again.study.get_trials()] == [
        TrialState.FAIL,
        TrialState.COMPLETE,
    ]


def die(folder: Path, number: int) -> None:
    """As a worker that a signal ends at the same step each time."""

    def fill(trial, slot):
        trial.set_user_attr("at", 7)
        os.kill(os.getpid(), number)

    plan(folder, fill).work()


def deaths_of(folder: Path, count: int, number: int) -> Iterator[spawn.Process]:
    """Workers that die in slot 0 one after the other, seen before anyone ends their trials."""
    for _ in range(count):
        process = spawn.Process(target=die, args=(folder, number))
        process.start()
        process.join(60)
        assert process.exitcode == -number
        yield process


def last_outcome(folder: Path) -> str | None:
    """What becomes of slot 0 when a worker that would train it to the end finds it."""
    last = plan(folder, lambda trial, slot: [1.0])
    last.work()
    return outcome(holders(last.study.get_trials())[0])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_kills_from_outside_cost_no_healthy_network(tmp_path, number):
    for _ in deaths_of(tmp_path, studies.LOST + 1, number):
        assert not deaths.own_fault(-number, peak=1 << 20, share=1 << 30)
    assert last_outcome(tmp_path) == "complete"


def told_by_parent(folder: Path, process: spawn.Process) -> None:
    """As the stage that started the worker, and saw how it ended."""
    reason = deaths.own_fault(process.exitcode, peak=900 << 20, share=1 << 30)
    record_death(plan(folder, None).study, process.pid, reason)


def told_by_kernel(folder: Path, process: spawn.Process) -> None:
    """As whoever finds the trial: the kernel's count has grown since."""
    plan(folder, None)._queue()


@pytest.mark.parametrize(
    ("number", "tell"),
    [
        (signal.SIGKILL, told_by_parent),
        (signal.SIGSEGV, told_by_parent),
        (signal.SIGKILL, told_by_kernel),
    ],
)
def test_a_network_that_kills_its_workers_is_given_up(tmp_path, monkeypatch, number, tell):
    monkeypatch.setattr(studies, "LOST", 2)
    if tell is told_by_kernel:
        monkeypatch.setattr(deaths, "kills_for_memory", lambda: 1 << 40)
    for process in deaths_of(tmp_path, 2, number):
        tell(tmp_path, process)
    assert last_outcome(tmp_path) == "killed its worker"
    study = plan(tmp_path, None).study
    assert (
        "2 workers died in it after step 7, the last one"
        in holders(study.get_trials())[0].user_attrs["reason"]
    )
    from flows.searching.search import Search  # not above: it takes torch into every worker here

    study.sampler.left = lambda trials: 1
    study.sampler.drawn = lambda trials: {0}
    section = {"trials": 3, "hours": 1, "images": None}
    assert Search(section, None, "", study, study, None).slots(study.get_trials()) == [0, 1]


def test_a_network_that_gets_on_between_deaths_is_not_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "LOST", 2)
    one = plan(tmp_path, None)
    for step in (7, 9):
        one.study.enqueue_trial({}, user_attrs={"slot": 0})
        trial = one.study.ask()
        trial.set_user_attr("worker", studies._me() | {"pid": step})
        trial.set_user_attr("at", step)
        record_death(one.study, step, "broke down (SIGSEGV)")
        one.study.tell(trial, state=TrialState.FAIL)
    assert last_outcome(tmp_path) == "complete"


def test_a_child_tells_how_it_ended():
    use = "b = bytearray(64 << 20); b[::4096] = b'1' * len(b[::4096])"
    child = subprocess.Popen([sys.executable, "-c", f"import os; {use}; os.abort()"])
    until = time.monotonic() + 60
    ended = None
    while ended is None and time.monotonic() < until:
        time.sleep(0.05)
        ended = deaths.reaped(child.pid)
    code, peak = ended
    assert (
        code == -signal.SIGABRT
        and peak >= 64 << 20
        and "SIGABRT" in deaths.own_fault(code, peak, deaths.memory())
    )
    child.returncode = code  # waited for


def test_of_two_attempts_at_a_slot_the_later_steps_back(tmp_path):
    one = plan(tmp_path, lambda trial, slot: [float(trial.number)])
    for _ in range(2):
        one.study.enqueue_trial({}, user_attrs={"slot": 0})
    one.work()
    assert [trial.state for trial in one.study.get_trials()] == [
        TrialState.COMPLETE,
        TrialState.FAIL,
    ]
    assert holders(one.study.get_trials())[0].value == 0


def test_a_worker_elsewhere_counts_as_dead_without_heartbeats(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "GRACE", 4)  # longer than a busy machine takes to begin
    monkeypatch.setattr(studies, "host", lambda: "elsewhere")
    one = plan(tmp_path, lambda trial, slot: [1.0])
    one.study.enqueue_trial({}, user_attrs={"slot": 0})
    gone = one.study.ask()
    gone.set_user_attr("worker", studies._me())
    connect(tmp_path / "search.db").record_heartbeat(gone._trial_id)
    monkeypatch.setattr(studies, "host", lambda: "here")
    waited = []
    plan(tmp_path, lambda trial, slot: [2.0]).work(lambda: waited.append(time.monotonic()))
    assert waited and [t.state for t in one.study.get_trials()] == [
        TrialState.FAIL,
        TrialState.COMPLETE,
    ]


def test_a_worker_whose_trial_was_given_away_works_on(tmp_path, caplog):
    def fill(trial, slot):
        if trial.number == 0:
            plan(tmp_path, None).study.tell(
                0, state=TrialState.FAIL
            )  # as by one that missed its sign of life
        return [float(trial.number)]

    one = plan(tmp_path, fill)
    one.work()
    assert (
        "given to another worker" in caplog.text and holders(one.study.get_trials())[0].value == 1
    )


def test_containers_of_one_host_name_are_hosts_of_their_own():
    container = ["unshare", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*container, "true"], capture_output=True, check=False).returncode:
        pytest.skip("name spaces cannot be made here")
    asks = [sys.executable, "-c", "from flows.searching.study import host; print(host())"]
    there = subprocess.run(
        [*container, *asks], capture_output=True, text=True, check=True
    ).stdout.strip()
    here = subprocess.run(asks, capture_output=True, text=True, check=True).stdout.strip()
    assert here == studies.host() and there.split()[:2] == here.split()[:2] and there != here


def test_a_locked_storage_is_waited_for(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(storage, "LOCKED", 0.2)
    one = plan(tmp_path, lambda trial, slot: [1.0])
    lock = sqlite3.connect(tmp_path / "search.db", isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN EXCLUSIVE")
    import threading

    threading.Timer(2, lambda: lock.execute("COMMIT")).start()
    one.work()
    assert "the storage of the search takes nothing at present" in caplog.text
    assert outcome(one.study.get_trials()[0]) == "complete"


def test_a_storage_that_stays_locked_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "LOCKED", 0.2)
    monkeypatch.setenv("TAGDAG_STORAGE_PATIENCE", "1")
    one = plan(tmp_path, lambda trial, slot: [1.0])
    lock = sqlite3.connect(tmp_path / "search.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    with pytest.raises(
        ValueError, match=r"locked or away \(database is locked\).*what was trained is kept"
    ):
        one.work()


def test_a_result_outlives_a_data_base_that_goes_away(tmp_path, postgres_server, monkeypatch):
    monkeypatch.setenv("TAGDAG_SEARCH_STORAGE", postgres_server.url)
    filled = []

    def fill(trial, slot):
        if not filled:
            postgres_server.stop()
            import threading

            threading.Timer(2, postgres_server.start).start()
        filled.append(slot)
        return [1.0]

    one = plan(tmp_path, fill, (0, 1), name=f"away {tmp_path}")
    one.work()
    assert {slot: outcome(t) for slot, t in holders(one.study.get_trials()).items()} == {
        0: "complete",
        1: "complete",
    }


@pytest.mark.parametrize(
    "url", ["nonsense", "mongo://host/base", "postgresql://tagdag:secret@127.0.0.1:1/base", *ODD]
)
def test_a_storage_that_is_none_is_told_without_its_password(tmp_path, url, monkeypatch):
    monkeypatch.setenv("TAGDAG_SEARCH_STORAGE", url)
    monkeypatch.setenv("TAGDAG_STORAGE_PATIENCE", "0")
    with pytest.raises(ValueError, match=r"storage of the search|TAGDAG_SEARCH_STORAGE") as told:
        connect(tmp_path / "search.db")
    assert "secret" not in str(told.value)


WRONG = {"password": ("nobody", "tagdag"), "base": ("tagdag", "none")}


@pytest.mark.parametrize("what", WRONG)
def test_a_storage_that_refuses_is_told_at_once(tmp_path, postgres_server, monkeypatch, what):
    user, base = WRONG[what]
    server = postgres_server.url.rpartition("@")[2].partition("/")[0]
    monkeypatch.setenv("TAGDAG_SEARCH_STORAGE", f"postgresql://{user}:hunsecret@{server}/{base}")
    begun = time.monotonic()
    with pytest.raises(
        ValueError, match=r"does not let us in \(.*does not exist\): mend TAGDAG_SEARCH"
    ) as told:
        connect(tmp_path / "search.db")
    assert "hunsecret" not in str(told.value) and time.monotonic() - begun < 20


@pytest.mark.parametrize(
    ("words", "final"),
    [
        ('FATAL:  password authentication failed for user "tagdag"', True),
        ("connection failed: fe_sendauth: no password supplied", True),
        ("failed to resolve host 'db': [Errno -2] Name or service not known", True),
        ("failed to resolve host 'db': [Errno -3] Temporary failure in name resolution", False),
        ("Connection refused", False),
        ("FATAL:  the database system is starting up", False),
        ("FATAL:  sorry, too many clients already", False),
        ('relation "studies" does not exist', False),
        ("database is locked", False),
        ("file is not a database", True),
    ],
)
def test_what_passes_is_told_from_what_does_not(words, final):
    assert storage.refused(Exception(words)) is final


MAKE = """
import os, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from flows.searching.storage import connect
left = [int(sys.argv[2])]
@event.listens_for(Engine, "before_cursor_execute")
def count(*_):
    left[0] -= 1
    left[0] or os.kill(os.getpid(), 9)
connect(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("statement", [8, 25, 40])
def test_a_kill_while_the_file_is_made_costs_nothing(tmp_path, statement):
    file = tmp_path / "search.db"
    done = subprocess.run([sys.executable, "-c", MAKE, str(file), str(statement)], check=False)
    assert done.returncode == -signal.SIGKILL and not file.exists()
    one = plan(tmp_path, lambda trial, slot: [1.0])
    one.work()
    assert outcome(one.study.get_trials()[0]) == "complete"


def test_an_empty_file_is_made_anew(tmp_path):
    (tmp_path / "search.db").touch()
    plan(tmp_path, lambda trial, slot: [1.0]).work()
    assert [path.name for path in tmp_path.iterdir()] == ["search.db"]


def test_pruned_trials_hold_their_slots(tmp_path):
    def fill(trial, slot):
        trial.report(50.0, 1)
        raise optuna.TrialPruned

    one = plan(tmp_path, fill)
    one.work()
    one.work()
    assert [outcome(trial) for trial in one.study.get_trials()] == ["pruned"]
