"""Servers in the background: found again, never mistaken for another process, ended with all."""

import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from flows.running import services
from tests.support.servers import wait_for

# a server whose child ignores SIGTERM, as a worker of uvicorn in a long answer does
PARENT = """
import subprocess, sys, time
code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", code])
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(services, "GENTLE", 0.5)
    services.FOLDER.mkdir(parents=True)


def child_of(name: str) -> psutil.Process:
    wait_for(lambda: services.log_of(name).read_text().strip(), 20)
    return psutil.Process(int(services.log_of(name).read_text()))


def test_a_server_is_found_again_and_ended_with_what_it_started():
    services.start("parent", ["-c", PARENT], "http://here", os.environ)
    child = child_of("parent")
    assert services.process_of("parent").pid == services.kept("parent")["pid"]
    assert services.kept("parent")["url"] == "http://here"
    assert services.stop("parent") == "stopped"
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert services.process_of("parent") is None and services.stop("parent") == "did not run"


def test_after_a_reboot_the_id_is_somebody_elses_who_is_left_alone():
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        about = {"pid": other.pid, "started": time.time() - 3600, "url": ""}
        (services.FOLDER / "worker.json").write_text(json.dumps(about))
        assert services.process_of("worker") is None
        assert services.stop("worker") == "had ended before" and other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_one_that_was_killed_is_started_anew():
    services.start("parent", ["-c", PARENT], "", os.environ)
    child, first = child_of("parent"), services.process_of("parent")
    first.kill()
    first.wait()
    assert services.process_of("parent") is None
    child.kill()
    services.start("parent", ["-c", PARENT], "", os.environ)
    assert services.process_of("parent").pid != first.pid
    assert services.stop("parent") == "stopped"


@pytest.mark.parametrize("left", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "started": 0}'])
def test_a_file_that_a_power_cut_left_broken_names_no_server(left):
    (services.FOLDER / "prefect.json").write_text(left)
    assert services.process_of("prefect") is None and services.stop("prefect") == "did not run"


def test_one_that_does_not_come_up_is_told_with_the_end_of_its_log():
    services.start("mlflow", ["-c", "print('the port'); raise SystemExit(1)"], "", os.environ)
    with pytest.raises(ValueError, match=r"mlflow server has ended; .*\n?the port"):
        services.wait_until("mlflow", lambda: False, 20)


def test_two_commands_do_not_start_servers_at_once():
    with (
        services.one_at_a_time(),
        pytest.raises(ValueError, match="wait for its end"),
        services.one_at_a_time(),
    ):
        pass
