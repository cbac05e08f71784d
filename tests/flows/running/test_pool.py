"""The processes that arms are trained in: their end with the process that started them, faults,
sizes.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.running import pool, processes

ROOT = Path(__file__).parents[3]


def alive(pid: int) -> bool:
    """Whether a process is there, and no zombie."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pids: list[int], seconds: float = 20) -> bool:
    """Whether all these processes end within some seconds."""
    until = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(alive, pids))


BUSY = """
import os, time
from flows.running import pool
if __name__ == "__main__":
    with pool.open_pool():
        print(os.getpid(), *pool.map_in_pool(os.getpid, [(), ()]), flush=True)
        pool.map_in_pool(time.sleep, [(60,), (60,)])
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_process_outlives_the_one_that_started_it(sent, tmp_path):
    (tmp_path / "busy.py").write_text(BUSY)
    env = os.environ | {"PYTHONPATH": str(ROOT), "TAGDAG_ARMS": "2"}
    started = subprocess.Popen(
        [sys.executable, "busy.py"], cwd=tmp_path, env=env, stdout=-1, stderr=-1, text=True
    )
    pids = [int(word) for word in started.stdout.readline().split()]
    children = [
        int(p.name) for p in Path("/proc").glob("[0-9]*") if parent(p) in {started.pid, *pids}
    ]
    assert len(set(pids[1:])) >= 1 and children
    time.sleep(0.2)
    started.send_signal(sent)
    started.communicate(timeout=30)
    assert gone([*pids, *children])


def parent(process: Path) -> int:
    """The parent of a process in /proc."""
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


@pytest.mark.parametrize(
    ("said", "found"), [("", (5, 1)), ("3", (3, 1)), ("2:4", (2, 4)), ("1", (1, 1))]
)
def test_sizes(monkeypatch, said, found):
    monkeypatch.setattr(pool, "cores", lambda: 5)
    monkeypatch.setattr(pool, "gpu_count", lambda: 0)
    monkeypatch.delenv("TAGDAG_WORKERS", raising=False)
    monkeypatch.setenv("TAGDAG_ARMS", said)
    assert pool.pool_size() == found
    monkeypatch.setenv("TAGDAG_WORKERS", "2")
    assert pool.pool_size() == (1, found[1])  # that training has the machine


def test_one_process_for_each_gpu(monkeypatch):
    monkeypatch.setattr(pool, "gpu_count", lambda: 4)
    monkeypatch.delenv("TAGDAG_ARMS", raising=False)
    monkeypatch.delenv("TAGDAG_WORKERS", raising=False)
    assert pool.pool_size() == (4, 1)


@pytest.mark.parametrize("said", ["0", "-1", "many", "2:", "2:0"])
def test_what_is_no_size_is_told(monkeypatch, said):
    monkeypatch.setenv("TAGDAG_ARMS", said)
    with pytest.raises(ValueError, match=f"TAGDAG_ARMS={said}: give how many processes"):
        pool.pool_size()


def test_a_process_that_dies_again_and_again_is_told(monkeypatch):
    monkeypatch.setenv("TAGDAG_ARMS", "2")
    with pytest.raises(ValueError, match=r"died 3 times.*TAGDAG_ARMS=1"), pool.open_pool():
        pool.call_in_pool(os._exit, 9)


def test_an_error_comes_with_the_place_it_was_raised_at(monkeypatch):
    monkeypatch.setenv("TAGDAG_ARMS", "2")
    with pytest.raises(FileNotFoundError, match="missing") as caught, pool.open_pool():
        pool.call_in_pool(os.stat, "missing")
    assert "processes.py" in caught.value.__notes__[0]


def test_without_a_pool_a_call_is_made_here_with_one_thread(monkeypatch):
    import torch

    monkeypatch.setenv("TAGDAG_ARMS", "1:3")
    monkeypatch.setattr(processes, "DEVICES", ())
    before = torch.get_num_threads()
    assert (
        pool.map_in_pool(torch.get_num_threads, [(), ()]) == [3, 3]
        and torch.get_num_threads() == before
    )


READY = """
import sys
from flows.running import pool
def imported(): return "torch._dynamo" in sys.modules
if __name__ == "__main__":
    import ready
    with pool.open_pool(trains=True):
        print(pool.map_in_pool(ready.imported, [(), ()]))
"""


def test_processes_that_train_have_what_the_first_step_imports(tmp_path):
    (tmp_path / "ready.py").write_text(READY)
    env = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{tmp_path}", "TAGDAG_ARMS": "2"}
    command = [sys.executable, "ready.py"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.stdout == "[True, True]\n", done.stderr
