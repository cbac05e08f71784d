"""What benchmarks/on_gpu.py starts in processes of their own: the real stages, on a drawn sample.

In a folder that has the code of this checkout by links:
`python -m benchmarks.on_gpu_steps dag corpus search ...`
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from benchmarks.clone import merged, overlaid

CODE = ("flows", "engine", "corpus", "metrics", "models", "benchmarks", "candidates", "dvc.yaml")
# without `merged` and `misspellings`, which read the 57 MB of wordfreq
PARAMS: dict[str, Any] = {
    "corpus": {"merged": False, "misspellings": False, "min_posts": 5, "holdout": 0.2},
    "search": {"trials": 2, "epochs": 1},
    "pretrain": {"*": {"epochs": 10, "recipe": {"batch": 256}}},
    "tasks": {
        "*": {
            "labels": [8],
            "seeds": [0],
            "epochs": 10,
            "grid": {"rate": [0.8], "l2": [0.01], "k": [5]},
        }
    },
    "evaluate": {"runs": 30, "batches": [1, 64], "seconds": 0.2},
}
SMALL: dict[str, Any] = {
    "search": {"trials": 1, "recipe": {"batch": 32}},
    "pretrain": {"*": {"epochs": 1, "recipe": {"batch": 32}}},
    "tasks": {
        "*": {
            "inits": ["baseline-hashtags"],
            "labels": [4],
            "epochs": 1,
            "recipe": {"batch": 16},
        }
    },
    "evaluate": {"runs": 3, "batches": [4], "seconds": 0.02},
}
STATES = Path(".tagdag") / "state"


def placed(folder: Path, small: bool) -> None:
    """A folder that the stages run in: this checkout's code and params, and a drawn sample."""
    from corpus.drawn.sample import draw_sample

    top = Path(__file__).resolve().parents[1]
    folder.mkdir(parents=True, exist_ok=True)
    for name in CODE:
        (folder / name).symlink_to(top / name)
    params = yaml.safe_load((top / "params.yaml").read_text())
    # the reference alone is trained
    params["candidates"].pop("winner")
    params["pretrain"].pop("winner-hashtags")
    params["tasks"]["scenes"]["inits"].remove("winner-hashtags")
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    posts, labelled = (160, (6, 2, 3)) if small else (4000, (20, 10, 40))
    draw_sample(folder / "data", posts=posts, labelled=labelled)


def numbered(small: bool) -> dict[str, Any]:
    """What is laid over params.yaml."""
    if not small:
        return PARAMS
    return merged(PARAMS, SMALL)


def laid(folder: Path, overlay: dict[str, Any]) -> None:
    """Numbers over those of the folder's params.yaml; of the recipe before nothing stays."""
    pretrain = overlay.get("pretrain", {}).get("*", {})
    fresh = {"precision": "float32", "exact": True, "compile": "off"}
    recipe = fresh | pretrain.get("recipe", {})
    overlaid(folder, overlay | {"pretrain": {"*": pretrain | {"recipe": recipe}}})


def dag(*stages: str) -> None:
    """Stages one after the other, `name` or `name:<training or task>`, and what came of each."""
    from flows.cli.command import run_stage

    for stage in stages:
        name, _, argument = stage.partition(":")
        began = time.monotonic()
        run_stage(getattr(import_module(f"flows.{name}"), name), *filter(None, [argument]))
        print(f"figure: {told(name)} in {time.monotonic() - began:.0f} s")


def told(stage: str) -> str:
    """The outcome of a stage, from the files that it wrote."""
    out = Path("out")
    if stage == "search":
        return f"search: {', '.join(row['outcome'] for row in trials())}"
    if stage == "pretrain":
        rates = json.loads((out / "pretrain" / "baseline-hashtags" / "metrics.json").read_text())
        return f"pretrain: hit rate {rates['top1']:.1f} %"
    if stage == "evaluate":
        rows = json.loads((out / "evaluate" / "scenes" / "records.json").read_text())
        best = max(rows, key=lambda row: row["value"])
        cost = f"{best['latency_p50_ms']:.2f} ms, {best['images_per_second']:.0f} images/s"
        found = f"evaluate: {len(rows)} models, best top-1 {best['value']:.1f} %, {cost}"
        return f"{found} by {best['clock']}, {best['duplicates']} duplicates"
    return stage


def trials() -> list[dict[str, Any]]:
    """The networks of the search, the reference first."""
    return [json.loads(line) for line in Path("out/search/trials.jsonl").read_text().splitlines()]


def spent(mib: int = 96) -> None:
    """A search on a GPU that is too small for its networks: all end, each by name."""
    import torch

    from flows.cli.command import run_stage
    from flows.search import search

    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(mib * 2**20 / total)
    overlaid(Path.cwd(), {"search": {"recipe": {"batch": 4096}, "seed": 1}})
    try:
        run_stage(search)
        print(f"figure: {', '.join(row['outcome'] for row in trials())}")
    except ValueError as error:
        if "out of memory" not in str(error):
            raise
        print(f"figure: {str(error)[:120]}")
    finally:
        overlaid(Path.cwd(), {"search": {"recipe": {"batch": 128}, "seed": 0}})


def killed(training: str = "baseline-hashtags") -> None:
    """A pretraining that was killed ends with the weights of one that was not, bit for bit."""
    stage = [sys.executable, "-m", __spec__.name, "dag", f"pretrain:{training}"]
    weights = Path("out/pretrain")
    subprocess.run(stage, check=True)
    whole = digest(weights / training / "model.safetensors")
    process = subprocess.Popen(stage, env=os.environ | {"TAGDAG_CHECKPOINT_SECONDS": "0"})
    kept = None
    while not kept:
        if process.poll() is not None:
            raise SystemExit("the training ended before it could be killed: give it more epochs")
        time.sleep(0.01)
        kept = newest(training)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    subprocess.run(stage, check=True)
    if digest(weights / training / "model.safetensors") != whole:
        raise SystemExit(f"killed after step {kept} and gone on: the weights are others")
    print(f"figure: killed after step {kept} and gone on, the same weights bit for bit")


def newest(training: str) -> int:
    """The iteration of the last state on disk, 0 for none."""
    files = STATES.glob(f"pretrain-{training}.*/*.safetensors")
    return max((int(file.stem) for file in files), default=0)


def digest(file: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    # another process would import torch for a single network, and have all of the GPU's memory
    os.environ.setdefault("TAGDAG_SEARCHERS", "1")
    {"dag": dag, "spent": spent, "killed": killed}[sys.argv[1]](*sys.argv[2:])
