"""Metrics through an outage of MLflow: how long a call takes meanwhile, and what is sent, taken,
doubled and lost.

`python -m benchmarks.tracking [--away 60] [--out]`. A loop logs three metrics at every step, a
hundred steps a second, while MLflow goes away: its server is killed (kill -9) and started again, or
another process locks the SQLite file.
"""

import argparse
import collections
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from benchmarks.services import free_port
from engine.measure.profile import device_name
from flows.running import settings
from flows.tracking import tracking

RESULTS = Path(__file__).parent / "results"
LOCK = """
import sqlite3, sys
sqlite3.connect(sys.argv[1]).execute("BEGIN EXCLUSIVE")
print(flush=True)
input()
"""


class Server:
    """A real MLflow server over a SQLite file, on a port that stays its own when it is killed
    and started again.
    """

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder, self.file, self.url = (
            folder,
            folder / "mlflow.db",
            f"http://127.0.0.1:{self.port}",
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [
            Path(sys.executable).parent / "mlflow",
            "server",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
        ]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{self.file}"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        env = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
        env["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=env, stdout=log, stderr=log, start_new_session=True
            )
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{self.url}/health", timeout=5).close()
                return
            except OSError:
                assert self.process.poll() is None, (self.folder / "server.log").read_text()
                time.sleep(0.1)
        raise TimeoutError("the MLflow server did not start within a minute")

    def kill(self) -> None:
        """kill -9 of the server and its worker."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Lock:
    """Another process that holds the write lock of a SQLite file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def take(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", LOCK, self.file], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.process.stdout.readline()

    def release(self) -> None:
        self.process.communicate(b"\n")


class Logging:
    """Logs every step's metrics in turn and remembers how long each call took."""

    def __init__(self, run: tracking.Run) -> None:
        self.run, self.steps = run, 0

    def until(self, over: Callable[[], bool]) -> np.ndarray:
        """Log until it is over; microseconds of every call."""
        spent = []
        while not over():
            values = {
                "loss": 1 / (self.steps + 1),
                "learning_rate": 0.1,
                "images_per_second": float(self.steps),
            }
            start = time.perf_counter()
            self.run.metrics(values, self.steps)
            spent.append(1e6 * (time.perf_counter() - start))
            self.steps += 1
            time.sleep(0.01)
        return np.array(spent)

    def during(self, seconds: float) -> np.ndarray:
        """Log for some seconds."""
        return self.until(partial(lambda end: time.monotonic() > end, time.monotonic() + seconds))

    def while_(self, call: Callable[[], None]) -> np.ndarray:
        """Log until a call that runs beside it has returned."""
        thread = threading.Thread(target=call)
        thread.start()
        return self.until(lambda: not thread.is_alive())

    def counts(self, file: Path) -> dict[str, int]:
        """Metrics sent, and of them taken, doubled and lost, by what the data base holds."""
        sent = {
            (key, step)
            for key in ("loss", "learning_rate", "images_per_second")
            for step in range(self.steps)
        }
        with sqlite3.connect(file) as base:
            rows = base.execute(
                "SELECT key, step FROM metrics WHERE run_uuid = ?", [self.run.id]
            ).fetchall()
        times = collections.Counter(rows)
        doubled = sum(count - 1 for count in times.values())
        return {
            "sent": len(sent),
            "taken": len(rows),
            "doubled": doubled,
            "lost": len(sent - times.keys()),
        }


@contextmanager
def pointed_at(uri: str) -> Iterator[None]:
    """This process logs to another MLflow."""
    os.environ["MLFLOW_TRACKING_URI"] = uri
    tracking.connect.cache_clear()
    yield
    tracking.connect.cache_clear()


def row(
    name: str, file: Path, leave: Callable[[], None], come: Callable[[], None], away: float
) -> str:
    """Log through an outage; the table's row."""
    with tracking.stage_run("pretrain", {}) as run:
        logging = Logging(run)
        before = logging.during(away / 4)
        leave()
        gone = time.monotonic()
        out = np.concatenate([logging.during(away), logging.while_(come)])
        gone = time.monotonic() - gone
        after = logging.during(away / 4)
        start = time.monotonic()
    counts = logging.counts(file)
    cells = [f"{gone:.0f}", *counts.values(), f"{time.monotonic() - start:.1f}"]
    for spent in (before, out, after):
        cells.append(
            " / ".join(f"{value:.0f}" for value in (*np.percentile(spent, (50, 99)), spent.max()))
        )
    return f"| {name} | " + " | ".join(map(str, cells)) + " |"


def table(folder: Path, away: float) -> Iterator[str]:
    """The rows, one for each way to reach MLflow."""
    yield (
        "| MLflow | away, s | sent | taken | doubled | lost | end of the run, s | µs: before "
        "| away | after |"
    )
    yield "|" + " --- |" * 10
    server = Server(folder)
    server.start()
    with pointed_at(server.url):
        yield row("server, killed and started again", server.file, server.kill, server.start, away)
    server.kill()
    file = folder / "direct.db"
    lock = Lock(file)
    with pointed_at(f"sqlite:///{file}"):
        yield row("SQLite file, locked by another process", file, lock.take, lock.release, away)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--away", type=float, default=60, help="seconds that MLflow is away")
    parser.add_argument(
        "--out", action="store_true", help="write benchmarks/results/tracking.md too"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        settings.STATE = Path(name)
        rows = list(table(Path(name), options.away))
    packages = ", ".join(
        f"{package} {version(package)}" for package in ("mlflow", "sqlalchemy", "torch")
    )
    device = device_name(torch.device("cpu"))
    text = "\n".join(
        [
            f"# Metrics through an outage of MLflow\n\n{device}; {packages}; {date.today()}\n",
            *rows,
            "\nThree metrics a call, a hundred calls a second. µs: what a call took, p50 / p99 / "
            "largest.",
        ]
    )
    print(text)
    if options.out:
        (RESULTS / "tracking.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
