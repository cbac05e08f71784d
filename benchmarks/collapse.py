"""Each method without labels, with its safeguard against a collapse and without it.

    python -m benchmarks.collapse [--seeds 2] [--steps 100] [--out]

Drawn scenes of ten classes and a tiny RegNet, some seconds a run. A safeguard is taken away by the
method's own setting where the paper has it as one, else by a subclass here.
"""

import argparse
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from operator import itemgetter
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from corpus.drawn.concepts import SETTINGS
from corpus.drawn.painting import paint
from corpus.drawn.scenes import compose
from corpus.sources.users import stream
from engine.core.batch import Batch
from engine.core.build import build
from engine.core.cores import processor
from engine.training.loop import initialise, train
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from flows.training.monitoring import Monitor, collapsed, measured
from models.blocks.augment.crops import Crops
from models.blocks.augment.draws import Draws
from models.blocks.methods.multiview import wide
from models.objectives.barlow_twins import BarlowTwins
from models.objectives.byol import BYOL, distance
from models.objectives.dino import DINO
from models.objectives.moco import MoCo
from models.objectives.simclr import SimCLR
from models.objectives.swav import SwAV

RESULTS = Path(__file__).parent / "results/collapse.md"
SIZE, TRAIN, HELD, BATCH = 24, 640, 300, 64
BACKBONE = {"name": "regnet", "depth": 3, "w_0": 16, "w_a": 16, "w_m": 2, "group_width": 8}
BACKBONE |= {"stem_width": 16, "stem_stride": 2}
RECIPE = {"batch": BATCH, "per": BATCH, "warmup": 0, "schedule": "constant", "weight_decay": 0.01}
RECIPE |= {"optimizer": {"name": "adamw"}}


class Drawn:
    """Scenes of the drawn sample, each of one of ten classes, in memory."""

    def __init__(self, images: int, part: int, size: int = SIZE) -> None:
        names, labels, pixels = list(SETTINGS), [], []
        for index in range(images):
            rng = stream(0, 99, part, index)
            setting, things = compose(rng)
            with Image.open(io.BytesIO(paint(rng, setting, things, size))) as image:
                pixels.append(np.asarray(image.convert("RGB")))
            labels.append(names.index(setting))
        self.labels = torch.tensor(labels)
        self.pixels = torch.from_numpy(np.stack(pixels))

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: Tensor, draws: Draws) -> Batch:
        return {"image": self.pixels[indices], "label": self.labels[indices]}


class WithoutNegatives(SimCLR):
    """Views of a sample are to be alike, and nothing is to be unlike."""

    def forward(self, batch: Batch, phase: str = "") -> Batch:
        pooled = self.pooled(batch["image"][:, :2])
        projected = self.projector(pooled.flatten(0, 1)).unflatten(0, pooled.shape[:2])
        first, second = F.normalize(wide(projected), dim=2).unbind(1)
        return {"loss": -(first * second).sum(1).mean() / self.temperature}


class WithoutQueue(MoCo):
    """Queries are to be like their keys, and unlike nothing."""

    def forward(self, batch: Batch, phase: str = "") -> Batch:
        found = super().forward(batch, phase)
        views = batch["image"]
        (queries,) = self.encoded(views[:, :1], self.backbone, self.projector).unbind(1)
        keys = self.keys(views[:, 1:], batch["order"])
        return found | {"loss": -(queries[:, None] * keys).sum(2).mean() / self.temperature}


class WithoutStopGradient(BYOL):
    """The network is its own teacher, and is taught by its gradient too."""

    def forward(self, batch: Batch, phase: str = "") -> Batch:
        keys = self._each(self.pooled(batch["image"][:, :2]), self.projector)
        apart = distance(self._each(keys, self.predictor), keys.flip(1))
        return {"loss": apart.sum(1).mean()}


class WithoutPredictor(BYOL):
    """What is compared with the teacher's is the projection itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.predictor = nn.Identity()


class WithoutPartition(SwAV):
    """A view may be of any cluster: all of one."""

    @torch.no_grad()
    def codes(self, projected: Tensor) -> Tensor:
        self.seen = projected
        return (wide(self.prototypes(projected)) / self.epsilon).softmax(2)


@dataclass(frozen=True, eq=False)
class Case:
    """A method as it is, or without one of its parts."""

    method: str
    without: str  # empty: as it is
    made: Callable[..., nn.Module]
    settings: dict[str, Any]
    rate: float = 0.003


WEAK = {"scale": (0.4, 1.0), "jitter": (0.2, 0.2, 0.2, 0.05), "grey": 0.0}
VIEWS = partial(Crops, **WEAK)
MULTI = partial(Crops, **WEAK, small=2, small_size=12, small_scale=(0.2, 0.5))
PROJECTED = {"views": VIEWS, "hidden": 128, "width": 64}
PLAIN = PROJECTED | {"norm": False}
MOCO = PROJECTED | {"queue": 256, "momentum": 0.99, "splits": 1}
BYOLS = PROJECTED | {"momentum": 0.97}
DINOS = {"views": MULTI, "prototypes": 128, "hidden": 512, "bottleneck": 64, "momentum": 0.99}
DINOS |= {"freeze_last_layer": 0}
DULL, FIXED = {"teacher_temperature": 0.1}, {"centre_momentum": 1.0}
SWAVS = {"views": MULTI, "prototypes": 32, "hidden": 128, "width": 64, "freeze_prototypes": 0}
CASES = (
    Case("SimCLR", "", SimCLR, PROJECTED),
    Case("SimCLR", "negatives", WithoutNegatives, PROJECTED),
    Case("SimCLR, no norms", "", SimCLR, PLAIN),
    Case("SimCLR, no norms", "negatives", WithoutNegatives, PLAIN),
    Case("MoCo", "", MoCo, MOCO),
    Case("MoCo", "negatives", WithoutQueue, MOCO),
    Case("MoCo", "momentum (0)", MoCo, MOCO | {"momentum": 0.0}),
    Case("BYOL", "", BYOL, BYOLS),
    Case("BYOL", "stop-gradient", WithoutStopGradient, BYOLS),
    Case("BYOL", "predictor", WithoutPredictor, BYOLS),
    Case("BYOL", "predictor, momentum (0)", WithoutPredictor, BYOLS | {"momentum": 0.0}),
    Case("DINO", "", DINO, DINOS, 0.0005),
    Case("DINO", "centring", DINO, DINOS | FIXED, 0.0005),
    Case("DINO", "sharpening", DINO, DINOS | DULL, 0.0005),
    Case("DINO", "centring, sharpening", DINO, DINOS | FIXED | DULL, 0.0005),
    Case("SwAV", "", SwAV, SWAVS, 0.001),
    Case("SwAV", "equal partition", WithoutPartition, SWAVS, 0.001),
    Case("Barlow Twins", "", BarlowTwins, PROJECTED),
    Case("Barlow Twins", "redundancy (lambda 0)", BarlowTwins, PROJECTED | {"redundancy": 0.0}),
)


def network(case: Case, seed: int) -> nn.Module:
    """A tiny network under a method."""
    initialise(seed)
    backbone = build("backbones", BACKBONE)
    head = build("heads", {"name": "linear"}, channels=backbone.channels, classes=len(SETTINGS))
    return case.made(backbone, head, **case.settings)


def run(case: Case, seed: int, steps: int, images: Drawn, held: Drawn) -> dict[str, float]:
    """What the monitor says after so many steps."""
    module, recipe = network(case, seed), Recipe(**RECIPE, rate=case.rate)
    if steps:
        train(module, images, Training(recipe, steps * BATCH / TRAIN, seed))
    return measured(module, held, images, Monitor())


HEAD = ("method", "without", "k-NN, %", "feature spread", "feature rank")
HEAD += ("compared: spread", "compared: rank", "told as a collapse")


def cells(case: Case, found: list[dict[str, float]]) -> list[str]:
    """A row of the table: means over seeds, and how often a collapse was told."""
    part = "answer" if "answer_rank" in found[0] else "embedding"
    names = ["knn_accuracy", "feature_spread", "feature_rank", f"{part}_spread", f"{part}_rank"]
    means = [mean(map(itemgetter(name), found)) for name in names]
    told = f"{sum(map(collapsed, found))} of {len(found)}"
    return [case.method, case.without, *(f"{value:.3g}" for value in means), told]


def table(rows: list[list[str]]) -> str:
    """Rows below the head, as Markdown."""
    lines = [HEAD, ["---"] * len(HEAD), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument(
        "--only", default="", help="cases whose title, MoCo without negatives, has it"
    )
    parser.add_argument("--out", action="store_true", help=f"write {RESULTS.name}")
    given = parser.parse_args()
    torch.set_num_threads(1)
    images, held, begun = Drawn(TRAIN, 0), Drawn(HELD, 1), time.process_time()
    cases = [case for case in CASES if given.only in f"{case.method} without {case.without}"]
    found: dict[Case, list[dict[str, float]]] = {case: [] for case in cases}
    for seed in range(given.seeds):
        for case in cases:
            found[case].append(run(case, seed, given.steps, images, held))
            print(seed, " | ".join(cells(case, found[case][-1:])), flush=True)
    start = [run(case, 0, 0, images, held) for case in cases if not case.without]
    spreads = [value for each in start for name, value in each.items() if "spread" in name]
    least = min(spreads, default=0.0)
    took = (time.process_time() - begun) / 60
    about = (
        f"`python -m benchmarks.collapse --out`. {datetime.now(UTC):%Y-%m-%d}, {processor()}, one "
        f"thread, {took:.1f} minutes of it: {given.steps} steps of {BATCH} of {TRAIN} drawn scenes "
        f"of {SIZE} pixels, {HELD} others to measure on, means over {given.seeds} seeds. Before "
        f"the first step the least spread is {least:.2f}."
    )
    text = table([cells(case, rows) for case, rows in found.items()])
    print(text)
    if given.out:
        told = RESULTS.read_text().partition("\nFound")[2] if RESULTS.exists() else ""
        told = f"\nFound{told.partition('| method')[0]}" if told else "\n"
        RESULTS.write_text(f"# Collapse\n\n{about}\n{told}{text}\n")


if __name__ == "__main__":
    main()
