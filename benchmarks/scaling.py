"""One worker and two: images per second, and that both make the same network.

    python -m benchmarks.scaling [--rounds 5] [--out]

One thread each. Equivalence: a batch of 128 as two micro-batches of 64 in one process, and as 64
images in each of two processes, is the same training, batch norm included (its n stays 64: Goyal et
al. 2017, arXiv 1706.02677, section 3).
"""

import argparse
import json
import tempfile
import time
from dataclasses import replace
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch

from benchmarks.overhead import CLASSES, RECIPE, SECTIONS, Pixels
from engine.core import checkpoint
from engine.core.network import network
from engine.measure.profile import device_name
from engine.training.distributed import present_workers
from engine.training.launching import launch
from engine.training.loop import initialise, train
from engine.training.schedule import Training

EACH, STEPS, COLD = 64, 60, 10
RESULT = Path(__file__).parent / "results" / "scaling.md"


def work(folder: Path, batch: int) -> None:
    """Train, and write the losses of all steps and images per second after the first ones."""
    torch.set_num_threads(1)
    initialise(0)
    losses, stamps = [], []
    recipe = replace(RECIPE, batch=batch, micro=EACH, warmup=0)
    training = Training(
        *(recipe, 1, 0, folder / "state", lambda values, step: losses.append(values["loss"])),
        progress=lambda done, total, text: stamps.append(time.perf_counter()),
        per_report=10,
    )
    train(network(**SECTIONS, classes=CLASSES), Pixels(STEPS * batch), training)
    if present_workers().first:
        speed = (len(stamps) - COLD) * batch / (stamps[-1] - stamps[COLD - 1])
        (folder / "told.json").write_text(
            json.dumps({"losses": losses, "images_per_second": speed})
        )


def run(workers: int, batch: int, folder: Path) -> dict:
    """What a training by so many workers told, and its last state."""
    folder.mkdir()
    if workers > 1:
        launch(workers, work, folder, batch)
    else:
        work(folder, batch)
    state = checkpoint.load_tensors(max((folder / "state").glob("*.safetensors")))[0]
    return json.loads((folder / "told.json").read_text()) | {"state": state}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--out", action="store_true", help=f"write benchmarks/results/{RESULT.name} too"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        speeds = {workers: [] for workers in (1, 2)}
        for turn in range(options.rounds):
            for workers, values in speeds.items():
                values.append(
                    run(workers, EACH * workers, folder / f"{workers}-{turn}")["images_per_second"]
                )
        alone, both = (run(workers, 2 * EACH, folder / f"equal-{workers}") for workers in (1, 2))
    efficiency = [b / (2 * a) for a, b in zip(*speeds.values(), strict=True)]
    losses = max(abs(a - b) / a for a, b in zip(alone["losses"], both["losses"], strict=True))
    trained = [
        k
        for k in alone["state"]
        if k.startswith("module.") and "running" not in k and "tracked" not in k
    ]
    weights = max((alone["state"][k] - both["state"][k]).abs().max().item() for k in trained)
    middle, least, most = (100 * f(efficiency) for f in (median, min, max))
    text = "\n".join(
        [
            "# From one worker to two\n",
            f"{EACH} images of 32 px a step and worker, one thread each;",
            f"{options.rounds} turns. {date.today()},",
            f"{device_name(torch.device('cpu'))}; torch {version('torch')}, gloo\n",
            "| workers | images/s, median (least to most) |",
            "| --- | --- |",
            *(
                f"| {k} | {median(v):.0f} ({min(v):.0f} to {max(v):.0f}) |"
                for k, v in speeds.items()
            ),
            "",
            f"Efficiency {middle:.0f} % ({least:.0f} to {most:.0f}):",
            "images/s of two over twice those of one.",
            f"The same {STEPS} steps of {2 * EACH} images by one worker (two micro-batches) and",
            f"by two: the losses of every ten steps differ by {losses:.1e} of their value at most,",
            f"weights at the end by {weights:.1e}.",
        ]
    )
    print(text)
    if options.out:
        RESULT.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
