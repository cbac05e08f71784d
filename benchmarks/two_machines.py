"""Two machines that share PostgreSQL and S3, as two clones here: the same bytes as on one?

    python -m benchmarks.two_machines [--out]

Clone A imports the data, builds the corpus and pushes both to S3 (`dvc push`). Clone B pulls them.
Then A runs the stage search and B one more worker of it (`python -m flows.searcher`), which meet in
PostgreSQL and log to one MLflow server. A pushes what the search left, B pulls it and finds nothing
to do. A third clone does the same alone, without any service. Exits with 1 where bytes differ, or
where one of the two trained nothing.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import date
from importlib.metadata import version
from pathlib import Path

import psycopg

from benchmarks.clone import checkout, committed, overlaid, sampled
from benchmarks.kills import PATIENCE, SMALL
from benchmarks.kills_by_stage import hashed
from benchmarks.services import bare_environment
from benchmarks.team import BUCKET, ROOT, Team, team
from engine.core.cores import cores

RESULT = ROOT / "benchmarks" / "results" / "two_machines.md"
PARAMS = SMALL | {"search": {"trials": 8, "epochs": 4, "recipe": {"batch": 32}}}
WORKERS = """
    SELECT attributes.value_json FROM trials
    JOIN trial_user_attributes attributes USING (trial_id)
    WHERE attributes.key = 'worker' AND trials.state = 'COMPLETE'
"""


def command(work: Path, env: dict[str, str], *arguments: str) -> tuple[float, str]:
    """(seconds, what it printed) of a module of the clone; SystemExit where it fails."""
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=work, env=env, capture_output=True, text=True
    )
    printed = done.stdout + done.stderr
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)} in {work.name}:\n{printed[-3000:]}")
    return time.monotonic() - begun, printed


def step(rows: list[tuple[str, float]], work: Path, env: dict[str, str], *arguments: str) -> str:
    """A command as a row of the table; what it printed."""
    seconds, printed = command(work, env, *arguments)
    rows.append((f"{work.name}: {' '.join(arguments)}", seconds))
    return printed


def files(work: Path, *folders: str) -> dict[str, str]:
    """SHA-256 of all files below folders of a clone."""
    found = [path for folder in folders for path in sorted((work / folder).rglob("*"))]
    return {str(path.relative_to(work)): hashed(path) for path in found if path.is_file()}


def machine(work: Path, origin: Path | None = None) -> None:
    """A clone with the small settings: with data of its own, or those of a clone by `dvc pull`."""
    checkout(ROOT, work)
    overlaid(work, PARAMS)
    if origin is None:
        sampled(work)
    else:
        for name in ("data.dvc", "dvc.lock"):
            shutil.copyfile(origin / name, work / name)
    committed(work, "small")


def remote(work: Path) -> None:
    """DVC's remote of the team; its credentials come from the environment."""
    config = work / ".dvc" / "config.local"
    url = f"s3://{BUCKET}/dvc"
    config.write_text(f"[core]\n    remote = team\n['remote \"team\"']\n    url = {url}\n")


def searched(a: Path, b: Path, env: dict[str, str]) -> tuple[float, int]:
    """(seconds, process of B's worker) of a search by both."""
    begun = time.monotonic()
    env = env | {"TAGDAG_SEARCHERS": "1"}
    stage = subprocess.Popen(
        [sys.executable, "-m", "flows.pipeline", "search"],
        cwd=a,
        env=env,
        stdout=(a / "search.log").open("wb"),
        stderr=subprocess.STDOUT,
    )
    # a worker joins a search that has begun
    while "search 1/" not in (a / "search.log").read_text() and stage.poll() is None:
        time.sleep(0.2)
    other = subprocess.Popen(
        [sys.executable, "-m", "flows.searcher"],
        cwd=b,
        env=env,
        stdout=(b / "search.log").open("wb"),
        stderr=subprocess.STDOUT,
    )
    codes = stage.wait(PATIENCE), other.wait(PATIENCE)
    if any(codes):
        logs = [(work / "search.log").read_text()[-2000:] for work in (a, b)]
        raise SystemExit(f"the search ended with {codes}:\n" + "\n".join(logs))
    return time.monotonic() - begun, other.pid


def shares(found: Team, b: int) -> Counter[str]:
    """How many networks each of the two trained."""
    with psycopg.connect(found.bases["search"], client_encoding="utf8") as base:
        workers = [json.loads(text) for (text,) in base.execute(WORKERS)]
    return Counter("B" if worker["pid"] == b else "A" for worker in workers)


def main() -> None:
    """Two clones, one clone, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", action="store_true", help=f"write {RESULT.relative_to(ROOT)} too")
    given = parser.parse_args()
    rows, faults = [], []
    with tempfile.TemporaryDirectory() as folder, team(prefect=False) as found:
        a, b, alone = (Path(folder, name) for name in ("a", "b", "alone"))
        env = found.env(prefect=False)
        machine(a)
        remote(a)
        step(rows, a, env, "flows.pipeline", "corpus")
        step(rows, a, env, "dvc", "push", "-q")
        machine(b, origin=a)
        remote(b)
        step(rows, b, env, "dvc", "pull", "-q", "data.dvc", "corpus")
        seconds, worker = searched(a, b, env)
        rows.append(("a and b: the search together", seconds))
        trained = shares(found, worker)
        step(rows, a, env, "dvc", "push", "-q")
        shutil.copyfile(a / "dvc.lock", b / "dvc.lock")
        step(rows, b, env, "dvc", "pull", "-q", "search")
        if "[search] unchanged" not in step(rows, b, env, "flows.pipeline", "search"):
            faults.append("B has something to do after its pull")
        objects = found.s3.keys(BUCKET)
        machine(alone)
        solo = bare_environment("AWS_") | {"TAGDAG_SEARCHERS": "1"}
        step(rows, alone, solo, "flows.pipeline", "search")
        kept = {
            name: files(work, "data", "out/corpus", "out/search")
            for name, work in (("A", a), ("B", b), ("alone", alone))
        }
    for name in ("B", "alone"):
        both = kept["A"].keys() | kept[name].keys()
        faults += [
            f"{p} of {name} differs" for p in sorted(both) if kept["A"].get(p) != kept[name].get(p)
        ]
    if min(trained["A"], trained["B"]) == 0:
        faults.append(f"one of the two trained nothing: {dict(trained)}")
    text = report(rows, faults, trained, len(kept["A"]), objects)
    print(text)
    if given.out:
        RESULT.write_text(text, encoding="utf-8")
    raise SystemExit(bool(faults))


def report(
    rows: list[tuple[str, float]],
    faults: list[str],
    trained: Counter[str],
    number: int,
    objects: dict[str, int],
) -> str:
    """The table as Markdown."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("dvc", "mlflow", "optuna"))
    stored = []
    for kind in ("dvc/", "mlflow/"):
        sizes = [size for key, size in objects.items() if key.startswith(kind)]
        stored.append(f"{len(sizes)} objects, {sum(sizes) / 1e6:.1f} MB below {kind}")
    lines = [
        "# Two machines\n",
        f"{date.today()}; {cores()} cores, load {os.getloadavg()[0]:.1f} at the end; {packages}; "
        "`python -m benchmarks.two_machines`.\n",
        "| step | seconds |\n| --- | --- |",
        *(f"| {step} | {seconds:.1f} |" for step, seconds in rows),
        f"\nNetworks trained: A {trained['A']}, B {trained['B']}. On S3: {', '.join(stored)}.",
        f"\n{number} files of data/, out/corpus and out/search compared between A, B and a clone "
        f"alone: {'; '.join(faults) or 'all bytes are equal'}.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
