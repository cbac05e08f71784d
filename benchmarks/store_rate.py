"""How fast shards go to S3 and come back: `dvc add`, `dvc push`, `dvc pull` of 64 MB files.

The S3 server is rclone on this machine, so there is no network in between: what is measured is what
DVC and the server cost. `--out` writes the table.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path

from benchmarks.s3 import s3_server
from benchmarks.services import bare_environment
from benchmarks.team import BUCKET, ROOT
from engine.core.cores import cores, processor

RESULT = ROOT / "benchmarks" / "results" / "store_rate.md"
SHARD = 64_000_000  # bytes


def dvc(folder: Path, env: dict[str, str], *arguments: str) -> tuple[float, float]:
    """(seconds, CPU seconds) of a command."""
    before, begun = os.times(), time.monotonic()
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=folder, env=env, check=True)
    after = os.times()
    cpu = after.children_user + after.children_system
    return time.monotonic() - begun, cpu - before.children_user - before.children_system


def measured(folder: Path, env: dict[str, str], shards: int) -> list[tuple[str, float, float]]:
    """(step, seconds, CPU seconds) of shards that are added, pushed, lost and pulled."""
    dvc(folder, env, "init", "-q", "--no-scm")
    dvc(folder, env, "remote", "add", "-q", "-d", "team", f"s3://{BUCKET}/dvc")
    (folder / "data").mkdir()
    for number in range(shards):
        (folder / "data" / f"{number:05d}.tar").write_bytes(os.urandom(SHARD))
    rows = [("dvc add", *dvc(folder, env, "add", "-q", "data"))]
    rows.append(("dvc push", *dvc(folder, env, "push", "-q")))
    shutil.rmtree(folder / ".dvc" / "cache")
    shutil.rmtree(folder / "data")
    rows.append(("dvc pull", *dvc(folder, env, "pull", "-q")))
    return rows


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", type=int, default=6)
    parser.add_argument("--out", action="store_true", help=f"write {RESULT.relative_to(ROOT)} too")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, s3_server() as server:
        server.client().create_bucket(Bucket=BUCKET)
        rows = measured(Path(folder), bare_environment("AWS_") | server.env, given.shards)
    megabytes = given.shards * SHARD / 1e6
    lines = [
        "# Shards to S3 and back\n",
        f"{date.today()}; {processor()}, {cores()} cores, "
        f"load {os.getloadavg()[0]:.1f} at the end; dvc {version('dvc')}, rclone here too; "
        f"`python -m benchmarks.store_rate --shards {given.shards}`.\n",
        "| step | MB/s | CPU s per GB |\n| --- | --- | --- |",
    ]
    for step, seconds, cpu in rows:
        lines.append(f"| {step} | {megabytes / seconds:.0f} | {1000 * cpu / megabytes:.1f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if given.out:
        RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
