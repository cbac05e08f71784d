"""Minibatches of 64 to 1,024 images: what linear scaling and warm-up of the learning rate do, on
photographs.

    make repro RECIPE=minibatch    (half an hour on a CPU core; or python -m benchmarks.minibatch
    [--quick] [--seeds 5])

Goyal, Dollár, Girshick, Noordhuis, Wesolowski, Kyrola, Tulloch, Jia, He 2017, "Accurate, Large
Minibatch SGD: Training ImageNet in 1 Hour" (arXiv 1706.02677), sections 2 and 5: with the rate
scaled linearly and a gradual warm-up a large minibatch trains as a small one does; without warm-up,
with a constant one or without scaling it does not.

CIFAR-10; batch norm sees 64 images at a time whatever the minibatch (section 2.3), so that 1,024
are 16 workers of 64. A search on images that are trained on nowhere finds the rate for 64; every
condition scales that rate. A seed draws the weights, the order and the views. Each run is kept in
.tagdag/minibatch/results.jsonl by its settings: a killed study goes on.
"""

import argparse
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.minibatch_report import write
from benchmarks.packs import CIFAR, FOLDER, check, photographs
from benchmarks.study import Run, pursue
from corpus.media.decoding import decode
from corpus.progress import Progress
from engine.core.batch import Batch
from engine.core.build import options
from engine.core.digest import digest
from engine.core.network import network
from engine.training.loop import initialise, train
from engine.training.predicting import scored
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from flows.cli.command import user_errors
from flows.running import settings
from metrics.accuracy import Accuracy
from models.blocks.augment.draws import Draws

RESULTS = Path(__file__).resolve().parent / "results"
NETWORK = {
    "backbone": {
        "name": "regnet",
        "depth": 5,
        "w_0": 16,
        "w_a": 20.0,
        "w_m": 2.2,
        "group_width": 8,
        "stem_width": 16,
    },
    "objective": {"name": "supervised", "scale": [0.5, 1.0]},
    "head": {"name": "linear"},
}
RECIPE = {"per": 64, "micro": 64, "warmup": 2.0, "schedule": "steps"}
RATES = (0.05, 0.1, 0.2, 0.4)  # for 64 images
CONDITIONS = {
    "64": {"batch": 64},
    "1024": {"batch": 1024},
    "1024, no warm-up": {"batch": 1024, "warmup": 0.0},
    "1024, constant warm-up": {"batch": 1024, "ramp": "constant"},
    "1024, no scaling": {"batch": 1024, "scaling": "none"},
    "1024, square-root scaling": {"batch": 1024, "scaling": "sqrt"},
    "128": {"batch": 128},
    "256": {"batch": 256},
    "512": {"batch": 512},
}


class Sizes(NamedTuple):
    """How large a study is: images trained on, images that the rate is chosen by, epochs, epochs
    that are tested.
    """

    images: int = 12_288
    held: int = 10_000
    epochs: int = 12
    tested: int = 3
    seeds: int = 3


QUICK = Sizes(images=2048, held=500, epochs=3, tested=1, seeds=1)


@dataclass
class Pictures:
    """Decoded photographs with their classes."""

    pixels: Tensor
    classes: Tensor

    def __len__(self) -> int:
        return len(self.classes)

    def read(self, indices: Tensor, draws: Draws | None = None) -> Batch:
        """image uint8 (n, h, w, 3), label int64 (n,)."""
        return {"image": self.pixels[indices], "label": self.classes[indices]}

    def some(self, indices: Tensor) -> "Pictures":
        """Those of these indices."""
        return Pictures(self.pixels[indices], self.classes[indices])


def pictures(packs: Path, sizes: Sizes) -> dict[str, Pictures]:
    """CIFAR-10 in parts: `train` and `held`, which share nothing, and `test`, whole."""
    photos = list(photographs(packs, CIFAR))
    names = sorted({photo.label for photo in photos})
    found = {}
    for part in ("train", "test"):
        ours = [photo for photo in photos if photo.part == part]
        pixels = torch.from_numpy(np.stack([decode(photo.data) for photo in ours]))
        found[part] = Pictures(pixels, torch.tensor([names.index(photo.label) for photo in ours]))
    every, mixed = (
        found["train"],
        torch.randperm(len(found["train"]), generator=torch.Generator().manual_seed(0)),
    )
    rows = {"train": mixed[: sizes.images], "held": mixed[sizes.images :][: sizes.held]}
    return found | {name: every.some(chosen) for name, chosen in rows.items()}


def run(parts: dict[str, Pictures], sizes: Sizes, one: Run, show: Progress) -> Run:
    """Mean training loss of every epoch, and the top-1 error in % after each of the last, on the
    part `one["on"]`.
    """
    recipe = Recipe(**options(Recipe, one["recipe"], "recipe"))
    initialise(one["seed"])
    module = network(**NETWORK, classes=10)
    losses, errors = [], []

    def note(values: dict[str, float], _: int) -> None:
        losses.append(values["loss"])
        if len(losses) > sizes.epochs - sizes.tested:
            found = scored(module, parts[one["on"]], Accuracy()).compute()
            errors.append(100 - found["top1"])
            module.train()

    per_epoch = sizes.images // recipe.batch
    train(
        module,
        parts["train"],
        Training(recipe, sizes.epochs, one["seed"], None, note, show, per_epoch),
    )
    return {"losses": losses, "errors": errors, "error": median(errors)}


def study(packs: Path, work: Path, sizes: Sizes) -> tuple[list[Run], list[Run]]:
    """The search of the rate, and all conditions and seeds.

    Runs that an earlier study kept are taken as they are.
    """
    parts: dict[str, Pictures] = {}

    def result(one: Run, show: Progress) -> Run:
        if not parts:
            parts.update(pictures(packs, sizes))
        return run(parts, sizes, one, show)

    def wanted(name: str, recipe: dict[str, Any], seed: int, on: str) -> tuple[str, Run]:
        one = {"recipe": RECIPE | recipe, "seed": seed, "on": on}
        return digest(sizes._replace(seeds=0), NETWORK, one), {"name": name} | one

    # a seed that the study does not use
    search = dict(wanted(f"rate {rate}", {"batch": 64, "rate": rate}, -1, "held") for rate in RATES)
    searched = pursue("minibatch", work, search, result)
    best = min(searched, key=lambda row: row["error"])["recipe"]["rate"]
    runs = dict(
        wanted(name, condition | {"rate": best}, seed, "test")
        for seed, (name, condition) in product(range(sizes.seeds), CONDITIONS.items())
    )
    return searched, pursue("minibatch", work, runs, result)


def main() -> None:
    """Command line of the recipe."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.minibatch", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--packs", type=Path, default=FOLDER, help="folder of the packs (*.tar.xz)")
    parser.add_argument(
        "--work", type=Path, help="folder of what is kept (default .tagdag/minibatch)"
    )
    parser.add_argument("--seeds", type=int, help="number of seeds (default 3)")
    parser.add_argument(
        "--quick", action="store_true", help="few images; the table stays in the work folder"
    )
    given = parser.parse_args()
    work = given.work or settings.STATE / f"minibatch{'-quick' * given.quick}"
    sizes = QUICK if given.quick else Sizes()
    sizes = sizes._replace(seeds=given.seeds or sizes.seeds)
    shown = [*["--quick"] * given.quick, *([f"--seeds {given.seeds}"] if given.seeds else [])]
    command = (
        " ".join(["python -m benchmarks.minibatch", *shown])
        if shown
        else "make repro RECIPE=minibatch"
    )
    with user_errors():
        check(given.packs, [CIFAR])
        searched, rows = study(given.packs, work, sizes)
        write(searched, rows, sizes._asdict(), command, work if given.quick else RESULTS)


if __name__ == "__main__":
    main()
