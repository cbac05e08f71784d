"""Corpus, search, pretraining and fine-tuning by each TAGDAG_RUNNER, without a Prefect server: the
same bytes?

    python -m benchmarks.runners [--runners dask:2 ray:2] [--out]

Every runner has a clone of this repository's HEAD with a small drawn sample; the first has none
named. Exits with 1 where a file of out/corpus, out/search, out/pretrain or out/finetune is another.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

from benchmarks.clone import checkout, committed, overlaid, sampled
from benchmarks.outages import PARAMS, SAME
from benchmarks.services import bare_environment
from benchmarks.team import ROOT
from benchmarks.two_machines import files
from engine.core.cores import cores

RESULT = ROOT / "benchmarks" / "results" / "runners.md"
RUNNERS = ("processes:2", "dask:2", "ray:2")
NEEDED = {"processes": "multiprocessing", "dask": "distributed", "ray": "ray"}


def ran(runner: str, work: Path) -> tuple[float, dict[str, str]]:
    """(seconds, SHA-256 of the files) of the stages in a clone of their own."""
    checkout(ROOT, work)
    overlaid(work, PARAMS)
    sampled(work)
    committed(work, "small")
    env = bare_environment("AWS_") | ({"TAGDAG_RUNNER": runner} if runner else {})
    begun = time.monotonic()
    command = [sys.executable, "-m", "flows.pipeline", "finetune"]
    with (work / "run.log").open("wb") as log:
        code = subprocess.run(command, cwd=work, env=env, stdout=log, stderr=log).returncode
    seconds = time.monotonic() - begun
    if code:
        raise SystemExit(f"{runner or 'no runner'}:\n{(work / 'run.log').read_text()[-3000:]}")
    return seconds, files(work, *(f"out/{name}" for name in SAME))


def main() -> None:
    """Run, compare, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runners", nargs="+", default=list(RUNNERS))
    parser.add_argument("--out", action="store_true", help=f"write {RESULT.relative_to(ROOT)} too")
    given = parser.parse_args()
    there = [r for r in given.runners if importlib.util.find_spec(NEEDED[r.partition(":")[0]])]
    lines, first, differ = [], {}, False
    with tempfile.TemporaryDirectory() as folder:
        for runner in ("", *there):
            seconds, found = ran(runner, Path(folder, runner.replace(":", "-") or "none"))
            first = first or found
            both = sorted(first.keys() | found.keys())
            others = [name for name in both if first.get(name) != found.get(name)]
            differ |= bool(others)
            told = "; ".join(others[:5]) or "none"
            lines.append(f"| {runner or 'none named'} | {seconds:.0f} | {len(both)} | {told} |")
            print(lines[-1], file=sys.stderr, flush=True)
    text = "\n".join(
        [
            "# Stages by each runner\n",
            f"{date.today()}; {cores()} cores, load {os.getloadavg()[0]:.1f} at the end; "
            f"distributed {version('distributed')}; "
            f"`python -m benchmarks.runners --runners {' '.join(given.runners)}`.\n",
            "| TAGDAG_RUNNER | seconds | files | that differ |\n| --- | --- | --- | --- |",
            *lines,
        ]
    )
    print(text)
    if given.out:
        RESULT.write_text(text + "\n", encoding="utf-8")
    raise SystemExit(differ)


if __name__ == "__main__":
    main()
