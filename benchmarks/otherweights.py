"""Starting from weights of another data set against starting from scratch, and a frozen part of it.

    python -m benchmarks.otherweights --packs ../shared/data      (six minutes on one CPU core)

A small ResNet is pretrained on EuroSAT (satellite images, ten classes of land) and fine-tuned on a
few labels of CIFAR-10. Its weights go by way of a file in torchvision's names, as those of others
do. All arms take equally many steps; of two learning rates each takes the one that is better on
500 labels held out, and all are tested on the same 2,000 images. A seed draws the pretraining, the
labels, the new weights, the order and the views.
"""

import argparse
import hashlib
import io
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.packs import CIFAR, FOLDER, check, members
from benchmarks.study import cell, preamble, verdict
from engine.core.network import network
from engine.training.loop import initialise, train
from engine.training.predicting import scored
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from engine.transfer.freezing import freeze_layers
from engine.transfer.weights import Init, load_released, released_tensors
from flows.cli.command import user_errors
from metrics.accuracy import Accuracy

EUROSAT = "eurosat.tar.xz"
RESULTS = Path(__file__).resolve().parent / "results"
BACKBONE = {"name": "resnet", "depths": (1, 1, 1), "block": "basic", "width": 16}
BACKBONE |= {"stem": "simple", "stem_stride": 1, "stem_width": 16}
SECTIONS = {"objective": {"name": "supervised"}, "head": {"name": "linear"}}
SIDE = 32  # px
HELD, TESTED = 500, 2000  # images of CIFAR-10 that rates are chosen by, and that arms are tested on
PRETRAINING = Recipe(batch=64, rate=0.8, warmup=1)
EPOCHS = 8  # of the pretraining
STEPS, RATES, LABELS, SEEDS = 150, (0.2, 0.8), (10, 50), (0, 1, 2)
ARMS = {  # whether from the weights, and what of them is frozen
    "scratch": (False, None),
    "EuroSAT": (True, None),
    "EuroSAT, stem and 1 stage frozen": (True, 1),
}


@dataclass
class Images:
    """Images uint8 (n, 32, 32, 3) and classes (n,), as a training reads them."""

    image: Tensor
    label: Tensor

    def __len__(self) -> int:
        return len(self.label)

    def read(self, indices: Tensor, draws: object = None) -> dict[str, Tensor]:
        return {"image": self.image[indices], "label": self.label[indices]}

    def some(self, rows: Tensor) -> "Images":
        return Images(self.image[rows], self.label[rows])


def pack(packs: Path, name: str, part: str, most: int) -> Images:
    """At most so many images of each class of a part of a pack, the first by a hash of names."""
    found = defaultdict(list)
    below = f"{name.partition('.')[0]}/{part}/"
    for path, data in members(packs, name, below):
        found[path.split("/")[-2]].append((hashlib.sha256(path.encode()).digest(), data))
    images, labels = [], []
    for label, (_, rows) in enumerate(sorted(found.items())):
        for _, data in sorted(rows)[:most]:
            image = Image.open(io.BytesIO(data)).convert("RGB").resize((SIDE, SIDE))
            images.append(np.asarray(image))
            labels.append(label)
    return Images(torch.from_numpy(np.stack(images)), torch.tensor(labels))


def learn(module: nn.Module, images: Images, recipe: Recipe, epochs: float, seed: int) -> None:
    train(module, images, Training(recipe, epochs, seed))


def right(module: nn.Module, images: Images) -> float:
    """Top-1 %."""
    return scored(module, images, Accuracy()).compute()["top1"]


def pretrained(images: Images, held: Images, seed: int, file: Path) -> float:
    """Weights of a pretraining, in torchvision's names; top-1 % on images held out."""
    initialise(seed)
    module = network(BACKBONE, **SECTIONS, classes=10)
    learn(module, images, PRETRAINING, EPOCHS, seed)
    safetensors.torch.save_file(released_tensors(module.backbone, "torchvision"), file)
    return right(module, held)


def fine_tuned(
    images: Images, arm: tuple[bool, int | None], rate: float, seed: int, file: Path
) -> nn.Module:
    """The network of an arm, after as many steps as all."""
    initialise(seed)
    module = network(BACKBONE, **SECTIONS, classes=10)
    if arm[0]:
        load_released(module.backbone, Init(file, "torchvision"))
    freeze_layers(module.backbone, arm[1])
    recipe = Recipe(batch=32, rate=rate, warmup=0)
    learn(module, images, recipe, STEPS * recipe.batch / len(images), seed)
    return module


def drawn(images: Images, count: int, seed: int) -> Images:
    """So many of each class."""
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for label in range(10):
        own = torch.nonzero(images.label == label).flatten()
        rows.append(own[torch.randperm(len(own), generator=generator)[:count]])
    return images.some(torch.cat(rows))


def study(packs: Path) -> tuple[dict[tuple[str, int], list[float]], list[float]]:
    """Top-1 % of each arm and number of labels, a seed each; that of the pretrainings."""
    land = pack(packs, EUROSAT, "train", 300), pack(packs, EUROSAT, "test", 50)
    things = pack(packs, CIFAR, "train", 200 + HELD // 10)
    place = torch.arange(len(things)) % (200 + HELD // 10)
    held, rest = things.some(place < HELD // 10), things.some(place >= HELD // 10)
    test = pack(packs, CIFAR, "test", TESTED // 10)
    found: dict[tuple[str, int], list[float]] = defaultdict(list)
    sources = []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "land.safetensors")
            sources.append(pretrained(*land, seed, file))
            for (name, arm), count in product(ARMS.items(), LABELS):
                few, tried = drawn(rest, count, seed), {}
                for rate in RATES:
                    module = fine_tuned(few, arm, rate, seed, file)
                    tried[right(module, held)] = module
                found[name, count].append(right(tried[max(tried)], test))
                print(f"seed {seed}, {count} labels, {name}: {found[name, count][-1]:.1f} %")
    return found, sources


def table(
    found: dict[tuple[str, int], list[float]], sources: list[float], command: str, minutes: float
) -> str:
    """The page of results."""
    more = {"cpu_minutes": f"{minutes:.1f}", "seeds": str(len(SEEDS))}
    more["network"] = f"ResNet-8 of width 16, {SIDE} px, {STEPS} steps of 32 images for each arm"
    lines = preamble("Weights of another data set", command, **more)
    lines += ["", (__doc__ or "").partition("core)")[2].strip(), ""]
    lines += [f"The pretrainings are right on {cell(sources)} % of EuroSAT's images held out.", ""]
    lines += ["CIFAR-10, top-1 %, mean and half of the 95 % interval over seeds:", ""]
    lines += ["| arm | " + " | ".join(f"{count} labels of each class" for count in LABELS) + " |"]
    lines += ["| --- |" + " --- |" * len(LABELS)]
    for name in ARMS:
        lines.append(f"| {name} | " + " | ".join(cell(found[name, n]) for n in LABELS) + " |")
    lines += ["", "Gain over scratch, seed by seed:", ""]
    for (name, _), count in product(list(ARMS.items())[1:], LABELS):
        pairs = zip(found[name, count], found["scratch", count], strict=True)
        gains = [one - other for one, other in pairs]
        said = f"better than scratch: {verdict(gains)} ({cell(gains, '+')} points)"
        lines.append(f"- {name}, {count} labels: {said}")
    return "\n".join([*lines, ""])


def main() -> None:
    """Command line of the study."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.otherweights", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--packs", type=Path, default=FOLDER, help="folder of the packs (*.tar.xz)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    with user_errors():
        check(given.packs, [EUROSAT, CIFAR])
        began = time.process_time()
        found, sources = study(given.packs)
        minutes = (time.process_time() - began) / 60
        text = table(found, sources, "python -m benchmarks.otherweights", minutes)
        (RESULTS / "otherweights.md").write_text(text)
        print(text)


if __name__ == "__main__":
    main()
