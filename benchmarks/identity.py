"""Whether a refactoring kept every result: `python -m benchmarks.identity --before REVISION`.

Runs the whole DAG at a small size and with fixed seeds, in a copy of the working tree and in one of
the revision: corpus build, search, pretraining, fine-tuning in all modes, evaluation. Prints the
SHA-256 of every file that a run determines: shards, index, vocabulary, weights, chosen networks,
predictions. Pages and records, which tell times, are left out. Ends with code 1 where any differs.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

from benchmarks.clone import overlaid
from engine.core.digest import digest

TOP = Path(__file__).parents[1]
SMALL = {
    "corpus": {"min_posts": 5, "holdout": 0.2},
    "search": {"trials": 3, "epochs": 1},
    "pretrain": {"epochs": 1},
    "finetune": {
        "modes": ["full", "linear", "knn"],
        "labels_per_class": [4],
        "seeds": [0, 1],
        "epochs": 1,
        "grid": {"rate": [0.8, 1.6], "l2": [0.01, 0.1], "k": [1, 2]},
    },
    "evaluate": {"runs": 3, "batches": [8], "seconds": 0.02},
}
STAGES = (
    *("corpus", "search", "pretrain baseline", "pretrain winner"),
    *("finetune baseline", "finetune winner", "evaluate"),
)
# what is there of a run whose every file is made by the same numbers
KEPT = ("corpus/**/*", "**/*.safetensors", "search/*.yaml", "evaluate/*.parquet")
SAMPLE = "from pathlib import Path; from benchmarks.clone import sampled; sampled(Path())"


def copied(folder: Path, revision: str | None) -> None:
    """The files of a revision, or of the working tree, in a folder that is a repository."""
    if revision:
        command = ["git", "archive", revision]
        archive = subprocess.run(command, cwd=TOP, check=True, capture_output=True).stdout
        with tarfile.open(fileobj=BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
    else:
        command = ["git", "ls-files", "-z", "-co", "--exclude-standard"]
        names = subprocess.run(command, cwd=TOP, check=True, capture_output=True, text=True).stdout
        for name in filter(None, names.split("\0")):
            source, target = TOP / name, folder / name
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read_bytes())
    (folder / "dvc.lock").unlink(missing_ok=True)
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)


def results(folder: Path) -> dict[str, str]:
    """Run the DAG in a copy; the SHA-256 of each file that it determines, by name below out/."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TAGDAG_")}
    environment = kept | {"OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": "sqlite:///runs.db"}
    overlaid(folder, SMALL)
    python = [sys.executable]
    steps = [[*python, "-c", SAMPLE]]
    steps += [[*python, "-m", *f"flows.{stage}".split()] for stage in STAGES]
    for step in steps:
        print(" ".join(step[1:3])[:60], step[-1][:20], file=sys.stderr, flush=True)
        done = subprocess.run(step, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stdout[-2000:] + done.stderr[-4000:])
    out = folder / "out"
    files = {file for pattern in KEPT for file in out.glob(pattern) if file.is_file()}
    determined = (file for file in files if file.suffix != ".html")
    return {file.relative_to(out).as_posix(): digest(file) for file in sorted(determined)}


def main() -> None:
    """Print digests, of two trees beside each other where a revision is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.identity", description=__doc__)
    parser.add_argument("--before", metavar="REVISION", help="a commit to compare with")
    args = parser.parse_args()
    found = []
    for revision in (args.before, None) if args.before else (None,):
        with tempfile.TemporaryDirectory() as folder:
            copied(Path(folder), revision)
            found.append(results(Path(folder)))
    before, now = found[0], found[-1]
    differing = sorted(name for name in before | now if before.get(name) != now.get(name))
    for name, sha in now.items():
        print(f"{sha[:16]}  {name}")
    if not args.before:
        return
    for name in differing:
        print(f"differs: {name}: {before.get(name)} before, {now.get(name)} now")
    print(f"{len(before | now) - len(differing)} of {len(before | now)} files are the same")
    raise SystemExit(bool(differing))


if __name__ == "__main__":
    main()
