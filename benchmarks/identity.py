"""Whether a refactoring kept every result: `python -m benchmarks.identity --before REVISION`.

Runs the whole DAG at a small size and with fixed seeds, in a copy of the working tree and in one of
the revision: corpus build, search, pretraining, fine-tuning with all heads, evaluation. Prints the
SHA-256 of every file that a run determines: shards, vocabulary, weights, the network that the
search found. Of weights and indices it is the SHA-256 of their tensors and columns: what is said of
them beside these may change. Files of a revision before tasks had names are named as now. Ends with
code 1 where any differs.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.clone import overlaid
from engine.core.digest import digest

TOP = Path(__file__).parents[1]
SMALL = {
    "corpus": {"min_posts": 5, "holdout": 0.2},
    "search": {"trials": 3, "epochs": 1},
    "evaluate": {"runs": 3, "batches": [8], "seconds": 0.02},
}
TUNED = {
    "seeds": [0, 1],
    "epochs": 1,
    "grid": {"rate": [0.8, 1.6], "l2": [0.01, 0.1], "k": [1, 2]},
}
NAMED = {"pretrain": {"*": {"epochs": 1}}, "tasks": {"*": TUNED | {"labels": [4]}}}
# of a revision before tasks had names
UNNAMED = {"pretrain": {"epochs": 1}, "finetune": TUNED | {"labels_per_class": [4]}}
# what is there of a run whose every file is made by the same numbers
KEPT = ("corpus/**/*", "**/*.safetensors", "search/winner.yaml")
HEADS = {"full": "linear", "linear": "logistic", "knn": "knn"}  # now, of what were modes
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
    params = overlaid(folder, SMALL)
    named = "tasks" in params
    params = overlaid(folder, NAMED if named else UNNAMED)
    python = [sys.executable]
    steps = [[*python, "-c", SAMPLE]]
    steps += [[*python, "-m", *f"flows.{stage}".split()] for stage in stages(params)]
    for step in steps:
        print(" ".join(step[1:3])[:60], step[-1][:20], file=sys.stderr, flush=True)
        done = subprocess.run(step, cwd=folder, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stdout[-2000:] + done.stderr[-4000:])
    out = folder / "out"
    files = {file for pattern in KEPT for file in out.glob(pattern) if file.is_file()}
    determined = (file for file in files if file.suffix != ".html")
    found = {}
    for file in sorted(determined):
        name = file.relative_to(out).as_posix()
        found[name if named else renamed(name)] = contents(file)
    return found


def stages(params: dict[str, Any]) -> list[str]:
    """What is run: each stage with its name of a training or a task, where it has any."""
    found = ["corpus", "search"]
    if "tasks" not in params:
        found += [f"pretrain {name}" for name in params["candidates"]]
        return [*found, *(f"finetune {name}" for name in params["candidates"]), "evaluate"]
    found += [f"pretrain {name}" for name in params["pretrain"]]
    for name in params["tasks"]:
        found += [f"finetune {name}", f"evaluate {name}"]
    return found


def renamed(name: str) -> str:
    """The name that a file of a revision before tasks had names has now."""
    weights = re.fullmatch(r"pretrain/(\w+)/(.*)", name)
    if weights:
        return f"pretrain/{weights[1]}-hashtags/{weights[2]}"
    arm = re.fullmatch(r"finetune/(\w+)/(\w+)-(\w+)-(\w+)-(.*)", name)
    if not arm:
        return name
    candidate, target, init, mode, rest = arm.groups()
    init = f"{candidate}-hashtags" if init == "pretrained" else f"{candidate}-{init}"
    return f"finetune/{target}/{init}-{HEADS[mode]}-{rest}"


def contents(file: Path) -> str:
    """SHA-256 of what a file holds, without what is said of it."""
    if file.suffix == ".safetensors":
        # 8 bytes, the length of the header; names, shapes and metadata as JSON; the tensors' bytes
        raw = file.read_bytes()
        end = 8 + int.from_bytes(raw[:8], "little")
        tensors = json.loads(raw[8:end])
        tensors.pop("__metadata__", None)
        return digest(tensors, hashlib.sha256(raw[end:]).hexdigest())
    if file.suffix == ".parquet":
        return digest(pq.read_table(file).replace_schema_metadata(None).to_pydict())
    # which names the index, whose metadata may change
    return digest(file) if file.name != "sha256.json" else ""


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
