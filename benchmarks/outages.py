"""MLflow, PostgreSQL, S3 and Prefect's server each away for a minute in the middle of a run: is
anything missing in the end?

    python -m benchmarks.outages [--seconds 60] [--out]

The whole pipeline runs with all that a team shares (benchmarks/team.py), once undisturbed and once
for each service, which is killed while the baseline is pretrained and started again after so many
seconds. Every run has a clone and services of its own. Compared with the undisturbed run: the tree
of MLflow runs with their states and metrics, files on S3, versions and champion, networks of the
search, flow and task runs of Prefect, and the bytes of all weights, tables and training shards.
Exits with 1 where anything is missing or another.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from importlib.metadata import version
from pathlib import Path

import psycopg

from benchmarks.clone import checkout, committed, overlaid, sampled
from benchmarks.kills import SMALL
from benchmarks.kills_by_stage import hashed
from benchmarks.team import BUCKET, ROOT, Team, team
from engine.core.cores import cores

RESULT = ROOT / "benchmarks" / "results" / "outages.md"
SERVICES = ("MLflow", "PostgreSQL", "S3", "Prefect")
AT = "[pretrain@baseline-hashtags] python"  # the line after which a service goes away
PARAMS = SMALL | {
    "search": {"trials": 2, "epochs": 1, "recipe": {"batch": 32}},
    "pretrain": {"*": {"epochs": 8, "recipe": {"batch": 32}}},
    "tasks": {
        "*": {
            "labels": [4],
            # the network trained as a whole, and no other head
            "heads": {"logistic": None, "knn": None},
            "seeds": [0, 1],
            "epochs": 3,
            "recipe": {"batch": 16},
        }
    },
    "evaluate": {"runs": 3, "batches": [8], "seconds": 0.05},
}
PATIENCE = 1200  # seconds that a run may take
SAME = ("corpus", "search", "pretrain", "finetune")  # folders of out/ without a clock's numbers
# in these a busy machine gives metrics other names, and a clock gives numbers
TIMED = ("evaluate", "register")

TREE = """
    SELECT coalesce(above.value, ''), coalesce(name.value, 'pipeline'), runs.status,
           (SELECT count(*) FROM metrics WHERE metrics.run_uuid = runs.run_uuid)
    FROM runs
    LEFT JOIN tags name ON name.run_uuid = runs.run_uuid AND name.key = 'tagdag.run'
    LEFT JOIN tags parent ON parent.run_uuid = runs.run_uuid AND parent.key = 'mlflow.parentRunId'
    LEFT JOIN tags above ON above.run_uuid = parent.value AND above.key = 'tagdag.run'
"""
VERSIONS = "SELECT name, version::text, status FROM model_versions"
ALIASES = "SELECT name, alias, version::text FROM registered_model_aliases"
TRIALS = """
    SELECT study_name, state::text FROM trials JOIN studies USING (study_id)
"""
FLOWS = "SELECT name, state_type::text FROM flow_run"
TASKS = "SELECT regexp_replace(name, '-[0-9a-f-]+$', ''), state_type::text FROM task_run"


@dataclass
class Run:
    """One run of the pipeline: what was away, for how long, and what there is in the end."""

    service: str
    seconds: float = 0.0
    code: int = 0
    counts: dict[str, Counter] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    log: str = ""


def _rows(url: str, query: str) -> Counter[tuple]:
    with psycopg.connect(url, client_encoding="utf8") as base:
        return Counter(base.execute(query).fetchall())


def counted(found: Team) -> dict[str, Counter]:
    """All that the services hold, as rows that another run has too."""
    runs: Counter[tuple] = Counter()
    for (above, name, status, metrics), number in _rows(found.bases["mlflow"], TREE).items():
        timed = above.startswith(TIMED) or name.startswith(TIMED)
        runs[above, name, status, -1 if timed else metrics] += number
    kept = Counter(Path(key).name for key in found.s3.keys(BUCKET, "mlflow/"))
    kept.pop(".tagdag", None)
    return {
        "MLflow runs": runs,
        "versions": _rows(found.bases["mlflow"], VERSIONS),
        "aliases": _rows(found.bases["mlflow"], ALIASES),
        "files on S3": kept,
        "networks": Counter(state for _, state in _rows(found.bases["search"], TRIALS).elements()),
        "flow runs": _rows(found.bases["prefect"], FLOWS),
        "task runs": _rows(found.bases["prefect"], TASKS),
    }


def _wait_for(process: subprocess.Popen, log: Path, words: str) -> None:
    end = time.monotonic() + PATIENCE
    while words not in log.read_text(errors="replace"):
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"the run did not come to {words}:\n{log.read_text()[-3000:]}")
        time.sleep(0.2)


def _away(found: Team, service: str, seconds: float) -> None:
    found.services[service].stop()
    print(f"{service} is away", file=sys.stderr, flush=True)
    time.sleep(seconds)
    found.services[service].start()
    print(f"{service} is back", file=sys.stderr, flush=True)


def ran(service: str, seconds: float, work: Path) -> Run:
    """The pipeline in a clone of its own, a service away in the middle (or `nothing`)."""
    checkout(ROOT, work)
    overlaid(work, PARAMS)
    sampled(work)
    committed(work, "small")
    log, result = work / "run.log", Run(service)
    with team() as found:
        begun = time.monotonic()
        with log.open("wb") as out:
            command = [sys.executable, "-m", "flows.pipeline"]
            process = subprocess.Popen(
                command, cwd=work, env=found.env(), stdout=out, stderr=out, start_new_session=True
            )
        try:
            if service != "nothing":
                _wait_for(process, log, AT)
                time.sleep(2)
                _away(found, service, seconds)
            result.code = process.wait(PATIENCE)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)
        result.seconds = time.monotonic() - begun
        result.counts, result.log = counted(found), log.read_text(errors="replace")
    for name in SAME:
        for path in sorted((work / "out" / name).rglob("*")):
            if path.suffix in (".safetensors", ".parquet", ".csv", ".tar"):
                result.files[str(path.relative_to(work))] = hashed(path)
    return result


def ran_once(service: str, seconds: float, work: Path) -> Run:
    """The same; a run that the folder has the outcome of is not made again."""
    kept = work.with_suffix(".json")
    if not kept.exists():
        run = ran(service, seconds, work)
        counts = {what: list(rows.items()) for what, rows in run.counts.items()}
        kept.write_text(json.dumps(vars(run) | {"counts": counts}))
    run = Run(**json.loads(kept.read_text()))
    for what, rows in run.counts.items():
        run.counts[what] = Counter({_frozen(row): number for row, number in rows})
    return run


def _frozen(row: list | str) -> tuple | str:
    return tuple(row) if isinstance(row, list) else row


def differences(whole: Run, run: Run) -> list[str]:
    """What is missing or another than in the undisturbed run."""
    found = [f"exit code {run.code}: {run.log[-300:]}"] if run.code else []
    for what, rows in whole.counts.items():
        found += [f"{what} lack {row} x {n}" for row, n in (rows - run.counts[what]).items()]
        found += [f"{what} have more: {row} x {n}" for row, n in (run.counts[what] - rows).items()]
    names = sorted(whole.files.keys() | run.files.keys())
    found += [f"{name} differs" for name in names if whole.files.get(name) != run.files.get(name)]
    return found


def row(run: Run, faults: list[str]) -> str:
    """A line of the table."""
    numbers = [str(sum(rows.values())) for rows in run.counts.values()]
    told = "; ".join(faults[:6]).replace("|", "/").replace("\n", " ") or "nothing"
    cells = [run.service, f"{run.seconds:.0f}", *numbers, str(len(run.files)), told]
    return f"| {' | '.join(cells)} |"


def report(runs: list[Run], faults: dict[str, list[str]], seconds: float) -> str:
    """The table as Markdown."""
    names = ("mlflow", "optuna", "prefect", "dvc")
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    heads = ["away", "run, s", *runs[0].counts, "files compared", "missing or another"]
    lines = [
        "# Services away in the middle of a run\n",
        f"{date.today()}; {cores()} cores, load {os.getloadavg()[0]:.1f} at the end; {packages}; "
        f"`python -m benchmarks.outages --seconds {seconds:g}`. MLflow's, Optuna's and Prefect's "
        "tables in PostgreSQL, files on S3 (rclone); each service is killed while the baseline is "
        f"pretrained and started {seconds:g} s later.\n",
        f"| {' | '.join(heads)} |",
        "|" + " --- |" * len(heads),
        *(row(run, faults[run.service]) for run in runs),
        "\nCompared: MLflow runs by parent, name, state and number of metrics (of evaluate and "
        "register without these, some of which a clock names), files on S3 by name, networks, "
        "flow and task runs by state, files of out/ by SHA-256.",
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run, take away, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--services", nargs="*", default=list(SERVICES), choices=SERVICES)
    parser.add_argument(
        "--work", type=Path, help="a folder that is kept: what it has run it does not run again"
    )
    parser.add_argument("--out", action="store_true", help=f"write {RESULT.relative_to(ROOT)} too")
    given = parser.parse_args()
    runs, faults = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for service in ("nothing", *given.services):
            place = (given.work or Path(folder)) / service.lower()
            run = ran_once(service, given.seconds, place)
            faults[service] = differences(runs[0] if runs else run, run)
            runs.append(run)
            print(row(run, faults[service]), flush=True)
            if given.out:
                text = report(runs, faults, given.seconds)
                RESULT.write_text(text, encoding="utf-8")
    print(report(runs, faults, given.seconds))
    raise SystemExit(any(faults.values()))


if __name__ == "__main__":
    main()
