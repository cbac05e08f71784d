"""Servers in the background: started once, found again, ended; their files lie in .tagdag/servers.

A server is known by its process id and the time at which that process began: after a reboot, or a
kill -9 and some thousand other processes, the id may be somebody else's.
"""

import contextlib
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import psutil

from flows.running import settings
from flows.running.locks import alone

FOLDER = settings.STATE / "servers"
SAME = 2.0  # seconds by which the start of one process may seem to differ: the clock is corrected
GENTLE, HARD = 20.0, 5.0  # seconds from SIGTERM to SIGKILL, and from that to giving up
TAIL = 2000  # characters of a log that a failure shows


def _file(name: str, ending: str) -> Path:
    return FOLDER / f"{name}.{ending}"


def log_of(name: str) -> Path:
    """What a server prints."""
    return _file(name, "log")


def one_at_a_time() -> AbstractContextManager[None]:
    """One command starts or ends servers at a time."""
    busy = "another command starts or ends the servers of this folder: wait for its end"
    return alone(FOLDER / "lock", busy)


def kept(name: str) -> dict[str, Any]:
    """What is written down of a server: pid, started, url; empty where nothing (whole) is."""
    try:
        found = json.loads(_file(name, "json").read_text())
        return {"pid": int(found["pid"]), "started": float(found["started"]), "url": found["url"]}
    # a power cut may leave a file of no bytes
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return {}


def process_of(name: str) -> psutil.Process | None:
    """The process of a server that runs; None where it has ended, whoever has its id now."""
    about = kept(name)
    try:
        process = psutil.Process(about["pid"])
        same = abs(process.create_time() - about["started"]) <= SAME
        alive = same and process.status() != psutil.STATUS_ZOMBIE
    except (KeyError, psutil.NoSuchProcess):
        return None
    return process if alive else None


def start(name: str, command: list[str], url: str, env: Mapping[str, str]) -> None:
    """Start a command of Python's in a session of its own, which a closed terminal leaves alone."""
    log = log_of(name)
    if log.exists():
        log.replace(_file(name, "log.1"))
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=env,
            start_new_session=True,
        )
    started = psutil.Process(process.pid).create_time()
    aside = _file(name, "json.new")
    aside.write_text(json.dumps({"pid": process.pid, "started": started, "url": url}) + "\n")
    aside.replace(_file(name, "json"))


def answers(url: str) -> bool:
    """Whether an address answers with 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except (OSError, ValueError):
        return False


def wait_until(name: str, ready: Callable[[], bool], seconds: float) -> None:
    """Wait until a started server is ready; ValueError with the end of its log where it is not."""
    end = time.monotonic() + seconds
    while not ready():
        ended = process_of(name) is None
        if ended or time.monotonic() > end:
            what = "has ended" if ended else f"is not ready after {seconds:.0f} s"
            told = log_of(name).read_text(errors="replace").strip()[-TAIL:]
            raise ValueError(f"the {name} server {what}; the end of {log_of(name)}:\n{told}")
        time.sleep(0.2)


def stop(name: str) -> str:
    """End a server and all that it started; what became of it, in a word or two."""
    process = process_of(name)
    was = bool(kept(name))
    if process is not None:
        with contextlib.suppress(psutil.NoSuchProcess):
            _end([process, *process.children(recursive=True)])
    _file(name, "json").unlink(missing_ok=True)
    return "stopped" if process else "had ended before" if was else "did not run"


def _end(tree: list[psutil.Process]) -> None:
    """SIGTERM to the first, whose business the others are; SIGKILL to all that stay."""
    # psutil compares start times before it sends a signal: an id that was taken over gets none
    tree[0].terminate()
    _, left = psutil.wait_procs(tree, GENTLE)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    _, left = psutil.wait_procs(left, HARD)
    if left:
        ids = ", ".join(str(process.pid) for process in left)
        raise ValueError(f"processes {ids} do not end: see whether a disk or a device hangs")
