"""Slots that workers share: none lost, none filled twice, whoever dies, whatever the storage does."""

import itertools
import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from flows import study as studies
from flows.study import Ended, Plan, connected, holders, opened, outcome

ODD = ["postgresql://tagdag:hun@secret@127.0.0.1:1/base", "postgresql://tagdag:secret@127.0.0.1:/base"]
SLOTS = 12
spawn = multiprocessing.get_context("spawn")


def work(folder: Path, name: str, slots: int, seconds: float, gate=None) -> None:
    """Fill slots; each one filled is a file, with a line for every time."""

    def fill(trial, slot):
        time.sleep(seconds)
        with (folder / f"{slot}").open("a") as file:
            file.write(f"{os.getpid()}\n")
        return [float(slot)]

    plan = Plan(opened(connected(folder / "search.db"), name, 1), lambda trials: list(range(slots)), fill)
    if gate:
        gate.wait(60)  # all begin at once
    plan.work()


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request, monkeypatch):
    if request.param == "postgresql":
        monkeypatch.setenv("TAGDAG_SEARCH_STORAGE", request.getfixturevalue("postgres_server").url)
    return request.param


def test_workers_fill_every_slot_once(tmp_path, storage, workers=4):
    name = f"once {tmp_path}"
    gate = spawn.Barrier(workers)
    processes = [spawn.Process(target=work, args=(tmp_path, name, SLOTS, 0.05, gate)) for _ in range(workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    filled = {slot: (tmp_path / f"{slot}").read_text().split() for slot in range(SLOTS)}
    assert all(len(pids) == 1 for pids in filled.values())
    assert len(set(itertools.chain(*filled.values()))) > 1, "one worker did it all"
    trials = opened(connected(tmp_path / "search.db"), name, 1).get_trials()
    assert {slot: outcome(trial) for slot, trial in holders(trials).items()} == dict.fromkeys(range(SLOTS), "complete")


def test_a_worker_killed_again_and_again_loses_no_slot(tmp_path, storage):
    name, draws = f"kills {tmp_path}", random.Random(0)
    study = opened(connected(tmp_path / "search.db"), name, 1)
    for _ in range(3):
        victim = spawn.Process(target=work, args=(tmp_path, name, 8, 0.5))
        victim.start()
        while not any(
            t.user_attrs.get("worker", {}).get("pid") == victim.pid for t in study.get_trials(deepcopy=False)
        ):
            assert victim.is_alive()
            time.sleep(0.02)
        time.sleep(draws.uniform(0, 0.8))
        os.kill(victim.pid, signal.SIGKILL)
        victim.join()
    work(tmp_path, name, 8, 0)
    trials = study.get_trials()
    assert {slot: outcome(trial) for slot, trial in holders(trials).items()} == dict.fromkeys(range(8), "complete")
    cut_short = [trial for trial in trials if trial.state == TrialState.FAIL]
    lines = sum(len((tmp_path / f"{slot}").read_text().split()) for slot in range(8))
    assert cut_short and 8 <= lines <= 8 + len(cut_short), "killed between its work and telling of it"


def plan(folder, fill, slots=(0,), name="plan"):
    return Plan(opened(connected(folder / "search.db"), name, 1), lambda trials: list(slots), fill)


def test_a_network_that_ends_otherwise_holds_its_slot(tmp_path):
    def fill(trial, slot):
        raise Ended("diverged", "the loss of step 3 is nan")

    one = plan(tmp_path, fill)
    one.work()
    one.work()
    [trial] = one.study.get_trials()
    assert outcome(trial) == "diverged" and trial.user_attrs["reason"] == "the loss of step 3 is nan"


def test_an_attempt_that_was_stopped_is_made_again(tmp_path):
    def stopped(trial, slot):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan(tmp_path, stopped).work()
    again = plan(tmp_path, lambda trial, slot: [1.0])
    again.work()
    assert [trial.state for trial in again.study.get_trials()] == [TrialState.FAIL, TrialState.COMPLETE]


def die(folder: Path) -> None:
    """As a worker that the system kills at the same step each time."""

    def fill(trial, slot):
        trial.set_user_attr("at", 7)
        os.kill(os.getpid(), signal.SIGKILL)

    plan(folder, fill).work()


def test_a_network_that_kills_its_workers_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "LOST", 2)
    for _ in range(studies.LOST):
        process = spawn.Process(target=die, args=(tmp_path,))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
    last = plan(tmp_path, lambda trial, slot: pytest.fail("it was trained once more"))
    last.work()
    assert outcome(holders(last.study.get_trials())[0]) == "killed its worker"
    from flows.sweep import Search  # not above: it takes torch into every worker here

    last.study.sampler.left = lambda trials: 1
    last.study.sampler.drawn = lambda trials: {0}
    section = {"trials": 3, "hours": 1, "images": None}
    assert Search(section, None, "", last.study, last.study, None).slots(last.study.get_trials()) == [0, 1]


def test_of_two_attempts_at_a_slot_the_later_steps_back(tmp_path):
    one = plan(tmp_path, lambda trial, slot: [float(trial.number)])
    for _ in range(2):
        one.study.enqueue_trial({}, user_attrs={"slot": 0})
    one.work()
    assert [trial.state for trial in one.study.get_trials()] == [TrialState.COMPLETE, TrialState.FAIL]
    assert holders(one.study.get_trials())[0].value == 0


def test_a_worker_elsewhere_counts_as_dead_without_heartbeats(tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "GRACE", 1)
    monkeypatch.setattr(studies, "host", lambda: "elsewhere")
    one = plan(tmp_path, lambda trial, slot: [1.0])
    one.study.enqueue_trial({}, user_attrs={"slot": 0})
    gone = one.study.ask()
    gone.set_user_attr("worker", studies._me())
    connected(tmp_path / "search.db").record_heartbeat(gone._trial_id)
    monkeypatch.setattr(studies, "host", lambda: "here")
    waited = []
    plan(tmp_path, lambda trial, slot: [2.0]).work(lambda: waited.append(time.monotonic()))
    assert waited and [t.state for t in one.study.get_trials()] == [TrialState.FAIL, TrialState.COMPLETE]


def test_a_worker_whose_trial_was_given_away_works_on(tmp_path, caplog):
    def fill(trial, slot):
        if trial.number == 0:
            plan(tmp_path, None).study.tell(0, state=TrialState.FAIL)  # as by one that missed its sign of life
        return [float(trial.number)]

    one = plan(tmp_path, fill)
    one.work()
    assert "given to another worker" in caplog.text and holders(one.study.get_trials())[0].value == 1


def test_containers_of_one_host_name_are_hosts_of_their_own():
    container = ["unshare", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*container, "true"], capture_output=True, check=False).returncode:
        pytest.skip("name spaces cannot be made here")
    asks = [sys.executable, "-c", "from flows.study import host; print(host())"]
    there = subprocess.run([*container, *asks], capture_output=True, text=True, check=True).stdout.strip()
    here = subprocess.run(asks, capture_output=True, text=True, check=True).stdout.strip()
    assert here == studies.host() and there.split()[:2] == here.split()[:2] and there != here


def test_a_locked_storage_is_waited_for(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(studies, "LOCKED", 0.2)
    one = plan(tmp_path, lambda trial, slot: [1.0])
    lock = sqlite3.connect(tmp_path / "search.db", isolation_level=None, check_same_thread=False)
    lock.execute("BEGIN EXCLUSIVE")
    import threading

    threading.Timer(2, lambda: lock.execute("COMMIT")).start()
    one.work()
    assert "locked or away" in caplog.text and outcome(one.study.get_trials()[0]) == "complete"


def test_a_storage_that_stays_locked_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(studies, "LOCKED", 0.2)
    monkeypatch.setenv("TAGDAG_STORAGE_PATIENCE", "1")
    one = plan(tmp_path, lambda trial, slot: [1.0])
    lock = sqlite3.connect(tmp_path / "search.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ValueError, match=r"locked or away \(database is locked\).*what was trained is kept"):
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
    assert {slot: outcome(t) for slot, t in holders(one.study.get_trials()).items()} == {0: "complete", 1: "complete"}


@pytest.mark.parametrize("url", ["nonsense", "mongo://host/base", "postgresql://tagdag:secret@127.0.0.1:1/base", *ODD])
def test_a_storage_that_is_none_is_told_without_its_password(tmp_path, url, monkeypatch):
    monkeypatch.setenv("TAGDAG_SEARCH_STORAGE", url)
    monkeypatch.setenv("TAGDAG_STORAGE_PATIENCE", "0")
    with pytest.raises(ValueError, match=r"storage of the search|TAGDAG_SEARCH_STORAGE") as told:
        connected(tmp_path / "search.db")
    assert "secret" not in str(told.value)


def test_pruned_trials_hold_their_slots(tmp_path):
    def fill(trial, slot):
        trial.report(50.0, 1)
        raise optuna.TrialPruned

    one = plan(tmp_path, fill)
    one.work()
    one.work()
    assert [outcome(trial) for trial in one.study.get_trials()] == ["pruned"]
