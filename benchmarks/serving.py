"""A registered version as a Python function of MLflow: how long it loads, what its server stands.

    python -m benchmarks.serving [--requests 1000] [--out]

A registry of its own in a temporary folder. Loading: in a process of its own, from an empty folder.
Serving: `python -m flows.serve` and, for comparison, `mlflow models serve`, each asked over HTTP by
eight threads; every second request is hostile. Scoring in bulk: Dask with two processes, each of
which loads the version once.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from importlib.metadata import version
from pathlib import Path

import httpx
import numpy as np
import psutil

from benchmarks.kills import ROOT
from benchmarks.services import free_port
from benchmarks.serving_bulk import in_bulk
from benchmarks.serving_requests import asked, summed, table
from engine.core.cores import cores, processor

RESULT = ROOT / "benchmarks" / "results" / "serving.md"
URI = "models:/models/1"
SIDE_BY_SIDE = 8
LOADING = f"""
import time
at = []
def reached():
    at.append((time.perf_counter(), time.process_time()))
reached()
import torch
reached()
from mlflow import pyfunc
reached()
model = pyfunc.load_model("{URI}")
reached()
model.predict(model.input_example)
reached()
for earlier, later in zip(at, at[1:]):
    print(later[0] - earlier[0], later[1] - earlier[1])
"""
PARTS = ("import torch", "import mlflow.pyfunc", "load_model", "first predict")


def registered_version(folder: Path) -> None:
    """A registry in this folder with one version; this process works in it from then on."""
    from tests.support.records import registered, trained

    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    os.chdir(folder)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
    registered(trained("a", seed=0))


def environment() -> dict[str, str]:
    """Without this project on the path."""
    return {key: text for key, text in os.environ.items() if key != "PYTHONPATH"}


def load_times(runs: int) -> str:
    """A table of Markdown: seconds of each part, medians over processes."""
    taken = []
    with tempfile.TemporaryDirectory() as empty:
        for _ in range(runs):
            command = [sys.executable, "-W", "ignore", "-c", LOADING]
            ran = subprocess.run(
                command, cwd=empty, env=environment(), check=True, capture_output=True, text=True
            )
            taken.append([line.split() for line in ran.stdout.splitlines()])
    # of each part the wall clock's and the processor's seconds
    seconds = np.median(np.array(taken, float), axis=0)
    beside = "beside torch's import, to the first prediction"
    told = [*zip(PARTS, seconds, strict=True), (beside, seconds[1:].sum(0))]
    rows = [f"| {name} | {wall:.2f} | {used:.2f} |" for name, (wall, used) in told]
    head = ["| part | seconds | of a processor |", "| --- | --- | --- |"]
    return "\n".join([*head, *rows, ""])


@contextmanager
def server(command: list[str], folder: Path, log: Path) -> Iterator[tuple[str, psutil.Process]]:
    """The address of a server and its process, when it answers /ping."""
    port = free_port()
    env = environment() | {"PYTHONPATH": str(ROOT)}
    with log.open("wb") as out:
        started = subprocess.Popen(
            [*command, "--port", str(port)], cwd=folder, env=env, stdout=out, stderr=out
        )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            if started.poll() is not None:
                raise SystemExit(log.read_text()[-3000:])
            try:
                httpx.get(f"{url}/ping")
                break
            except httpx.HTTPError:
                time.sleep(0.2)
        yield url, psutil.Process(started.pid)
    finally:
        family = [*psutil.Process(started.pid).children(recursive=True), started]
        for process in family:
            process.terminate()
        started.wait()


def resident(process: psutil.Process) -> float:
    """MiB of a process and its children."""
    family = [process, *process.children(recursive=True)]
    return sum(each.memory_info().rss for each in family) / 2**20


def served(command: list[str], requests: int, folder: Path) -> str:
    """Markdown on a server."""
    with server(command, folder, folder / "server.log") as (url, process):
        asked(url, 80, SIDE_BY_SIDE)  # once through all kinds
        before, begun = resident(process), time.perf_counter()
        found = asked(url, requests, SIDE_BY_SIDE)
        taken = time.perf_counter() - begun
        alive = httpx.get(f"{url}/ping").status_code
        after = resident(process)
    told = f"{summed(found)}. {requests / taken:.0f} requests/s; afterwards /ping: {alive}; "
    told += f"memory {before:.0f} MiB before, {after:.0f} MiB after."
    return "\n".join([told, "", *table(found), ""])


def main() -> None:
    """Print the tables; --out also keeps them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--requests", type=int, default=1000, help="to each server (1000)")
    parser.add_argument("--runs", type=int, default=5, help="processes that load (5)")
    parser.add_argument("--images", type=int, default=4000, help="scored in bulk (4000)")
    parser.add_argument("--out", action="store_true", help=f"write {RESULT.relative_to(ROOT)}")
    given = parser.parse_args()
    ours = [sys.executable, "-m", "flows.serve", "--model", URI]
    theirs = ["mlflow", "models", "serve", "-m", URI, "--env-manager", "local", "-h", "127.0.0.1"]
    servers = {
        f"`python -m flows.serve`, asked by {SIDE_BY_SIDE} threads": ours,
        "`mlflow models serve`, the same requests, as it comes": theirs,
    }
    libraries = ", ".join(f"{name} {version(name)}" for name in ("mlflow", "torch", "uvicorn"))
    text = (
        f"# Versions as Python functions of MLflow\n\n{date.today()}; {processor()}, {cores()} "
        f"cores, load {os.getloadavg()[0]:.1f}; {libraries}; `python -m benchmarks.serving "
        f"--requests {given.requests}`.\n"
    )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        registered_version(folder)
        text += f"\n## Loading, medians of {given.runs} processes\n\n{load_times(given.runs)}"
        for title, command in servers.items():
            text += f"\n## {title}\n\n{served(command, given.requests, folder)}"
        text += f"\n## In bulk\n\n{in_bulk(URI, given.images)}\n"
        os.chdir(ROOT)
    print(text)
    if given.out:
        RESULT.write_text(text)


if __name__ == "__main__":
    main()
