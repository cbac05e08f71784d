"""A stem of convolutions against one of patches in a tiny ViT, over learning rates and optimizers.

`python -m benchmarks.stems [--packs DIR] [--steps 120] [--seeds 3] [--out]`. Xiao et al. 2021,
arXiv 2106.14881, sections 5.1 and 5.2, at the scale of one core: 32-pixel photographs of CIFAR-10,
patches of 8 pixels, and the network with convolutions has one block less. Both stems have the same
images, order, rates and seeds.
"""

import argparse
import io
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.stats import t as student
from torch import Tensor, nn

from benchmarks.packs import CIFAR, FOLDER, check, photographs
from engine.core.build import build
from engine.core.cores import processor
from engine.measure.complexity import measure

RESULTS = Path(__file__).parent / "results/stems.md"
TRAIN, TEST = 500, 200  # images per class
BATCH, WARM_UP = 64, 0.1
VIT = {"name": "vit", "width": 64, "heads": 2, "hidden": 192, "patch_size": 8, "resolution": 32}
STEMS: dict[str, dict[str, Any]] = {
    "patches": {"depth": 4},
    "convolutions": {
        "depth": 3,
        "stem": "convolution",
        "stem_widths": [16, 32, 64],
        "stem_strides": [2, 2, 2],
    },
}
RATES = {"sgd": (0.01, 0.03, 0.1), "adamw": (0.001, 0.003, 0.01)}


class Data(NamedTuple):
    """Images (n, 3, 32, 32) about zero and classes (n,), of training and of test."""

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def read(packs: Path) -> Data:
    """The first images of each class and part of the pack."""
    found: dict[str, tuple[list[np.ndarray], list[str]]] = {"train": ([], []), "test": ([], [])}
    most = {"train": TRAIN, "test": TEST}
    for part, label, _, data in photographs(packs, CIFAR):
        images, labels = found[part]
        if labels.count(label) < most[part]:
            with Image.open(io.BytesIO(data)) as image:
                images.append(np.asarray(image.convert("RGB")))
            labels.append(label)
    names = sorted(set(found["train"][1]))
    columns: list[Tensor] = []
    for images, labels in found.values():
        pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        columns += [pixels.float() / 64 - 2, torch.tensor([names.index(name) for name in labels])]
    return Data(*columns)


def network(stem: str) -> nn.Sequential:
    backbone = build("backbones", VIT | STEMS[stem])
    return nn.Sequential(
        backbone, build("heads", {"name": "linear"}, channels=backbone.channels, classes=10)
    )


def optimizer(name: str, parameters: Iterator[nn.Parameter], rate: float) -> torch.optim.Optimizer:
    if name == "sgd":
        return torch.optim.SGD(parameters, rate, momentum=0.9, weight_decay=1e-4, nesterov=True)
    return torch.optim.AdamW(parameters, rate, weight_decay=0.05, fused=True)


def trained(data: Data, stem: str, name: str, rate: float, seed: int, steps: int) -> float:
    """Test accuracy in percent after `steps`: a warm-up, half a cosine, mirrored images."""
    torch.manual_seed(seed)
    net = network(stem)
    made = optimizer(name, net.parameters(), rate)
    draws = torch.Generator().manual_seed(seed)
    for step in range(steps):
        share = min((step + 1) / (WARM_UP * steps), 1.0)
        factor = share * (1 + np.cos(np.pi * step / steps)) / 2
        for group in made.param_groups:
            group["lr"] = rate * factor
        rows = torch.randint(len(data.images), (BATCH,), generator=draws)
        images = data.images[rows]
        mirrored = torch.rand(BATCH, 1, 1, 1, generator=draws) < 0.5
        images = torch.where(mirrored, images.flip(3), images)
        made.zero_grad()
        F.cross_entropy(net(images), data.labels[rows]).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        made.step()
    net.eval()
    with torch.no_grad():
        answers = torch.cat([net(part).argmax(1) for part in data.test_images.split(500)])
    return 100 * (answers == data.test_labels).float().mean().item()


def interval(values: np.ndarray) -> str:
    """Mean and half of its 95 % interval over seeds."""
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{values.mean():.1f} ± {half:.1f}"


def table(found: dict[tuple, np.ndarray]) -> list[str]:
    """A line per optimizer and rate; of each optimizer the best of either stem, and the spread."""
    lines = ["| optimizer | rate | patches | convolutions | difference |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for name, rates in RATES.items():
        settings = product(STEMS, [name], rates)
        both = np.array([found[setting] for setting in settings])
        both = both.reshape(len(STEMS), len(rates), -1)
        for i, rate in enumerate(rates):
            cells = [interval(each) for each in (*both[:, i], both[1, i] - both[0, i])]
            lines.append(f"| {name} | {rate} | " + " | ".join(cells) + " |")
        # of each seed by itself: the best rate, and how far the worst lies below
        best, spread = both.max(1), both.max(1) - both.min(1)
        for text, numbers in (("best", best), ("best less worst", spread)):
            cells = [interval(each) for each in (*numbers, numbers[1] - numbers[0])]
            lines.append(f"| {name} | {text} | " + " | ".join(cells) + " |")
    return lines


def costs() -> list[str]:
    lines = ["| stem | parameters | multiply-adds | activations |", "| --- | --- | --- | --- |"]
    for stem in STEMS:
        cost = measure(network(stem), (3, 32, 32))
        lines.append(f"| {stem} | " + " | ".join(f"{each:,}" for each in cost.values()) + " |")
    return lines


def main() -> None:
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--packs", type=Path, default=FOLDER, help="folder of the data packs")
    command.add_argument("--steps", type=int, default=120, help="of each training")
    command.add_argument("--seeds", type=int, default=3, help="trainings of each setting")
    command.add_argument("--out", action="store_true", help=f"write {RESULTS.name}")
    given = command.parse_args()
    torch.set_num_threads(1)
    check(given.packs, [CIFAR])
    start, data = time.process_time(), read(given.packs)
    found: dict[tuple, np.ndarray] = {}
    for name, stem in product(RATES, STEMS):
        for rate in RATES[name]:
            seeds = range(given.seeds)
            values = [trained(data, stem, name, rate, seed, given.steps) for seed in seeds]
            found[stem, name, rate] = np.array(values)
            print(f"{name} {rate} {stem}: {interval(found[stem, name, rate])}", flush=True)
    took = time.process_time() - start
    about = (
        f"{datetime.now(UTC):%Y-%m-%d}, {processor()}, one thread, {took / 60:.1f} minutes of it: "
        f"{given.steps} steps of {BATCH} of {10 * TRAIN:,} images, {10 * TEST:,} test images, "
        f"{given.seeds} seeds. Test accuracy in percent, mean and 95 % interval over seeds."
    )
    text = ["# Stems of a tiny ViT", "", "`python -m benchmarks.stems --out`. " + about, ""]
    text += ["`best` and `best less worst` are of each seed by itself.", ""]
    text += [*costs(), "", *table(found), ""]
    print("\n".join(text))
    if given.out:
        RESULTS.write_text("\n".join(text), encoding="utf-8")


if __name__ == "__main__":
    main()
