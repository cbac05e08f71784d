"""What studies of masks share: drawn scenes, a small detector, masks in true boxes, tables of arms.

benchmarks/pointrend.py and benchmarks/mask_x.py are such studies.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.study import Run, cell, pursue, verdict
from corpus.drawn.objects import draw_objects
from corpus.progress import Progress
from corpus.store.squares import open_store
from corpus.targets import write_labelled
from engine.core.build import build, options
from engine.core.network import columns_read, network
from engine.core.samples import Rows, open_split
from engine.training.loop import initialise, train
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from flows.cli.command import user_errors
from flows.running import settings
from models.blocks.detection.pasting import pasted

RESULTS = Path(__file__).resolve().parent / "results"
SIDE = 128  # px of the longer side of an image
BACKBONE = {
    "name": "resnet",
    "depths": [1, 1, 1],
    "block": "basic",
    "width": 16,
    "stem": "imagenet",
    "stem_width": 16,
}
DETECTOR = {
    "width": 32,
    "norm": "group",
    "hidden": 64,
    "anchor": 6.0,
    "canonical": 64.0,
    "regions": 32,
    "candidates": 200,
    "proposals": 100,
    "test_candidates": 100,
    "test_proposals": 50,
    "detections": 20,
}
BATCH = 4
RECIPE = {
    "batch": BATCH,
    "per": BATCH,
    "rate": 0.003,
    "warmup": 0.5,
    "optimizer": {"name": "adamw"},
    "weight_decay": 0.01,
    "clip": 5.0,
    "exact": False,
}


class All:
    """Several metrics of one pass over the images."""

    def __init__(self, metrics: dict[str, Any]) -> None:
        self.metrics = metrics

    @classmethod
    def of(cls, sections: dict[str, dict[str, Any]]) -> "All":
        """Of sections of metrics by name."""
        return cls({name: build("metrics", section) for name, section in sections.items()})

    def update(self, predictions: dict[str, Any], targets: dict[str, Any]) -> None:
        for metric in self.metrics.values():
            metric.update(predictions, targets)

    def headlines(self) -> dict[str, float]:
        """The headline of each, in percent."""
        return {name: one.compute()[one.headline] for name, one in self.metrics.items()}


def drawn(work: Path, kinds: Sequence[str], images: int, tested: int) -> dict[str, Path]:
    """The shards of each kind, drawn where they are not there yet."""
    found = {}
    for kind in kinds:
        top = work / f"{kind}-{images}-{tested}"
        found[kind] = top / "shards"
        if not found[kind].exists():
            draw_objects(top / "store", kind, (images, 1, tested), size=SIDE)
            store = open_store("targets/drawn", top / "store", SIDE, top / "cache")
            write_labelled(store, found[kind], {"val": 0.0, "test": 0.0})
    return found


class Trained(NamedTuple):
    """A network, the names of its classes, and the test images."""

    module: nn.Module
    names: list[str]
    test: Rows


def trained(folder: Path, objective: dict[str, Any], one: Run, show: Progress) -> Trained:
    """A run's network, trained on the shards of a folder."""
    initialise(one["seed"])
    parts = {split: open_split(folder, split) for split in ("train", "test")}
    names = parts["train"].names
    module = network(BACKBONE, objective, one["head"], classes=len(names), names=names)
    columns = columns_read(objective)
    samples = {split: Rows(shards, columns) for split, shards in parts.items()}
    recipe = Recipe(**options(Recipe, one["recipe"], "recipe"))
    train(
        module, samples["train"], Training(recipe, one["epochs"], one["seed"], None, progress=show)
    )
    return Trained(module, names, samples["test"])


@torch.no_grad()
def masks_in_true_boxes(
    module: nn.Module, samples: Rows
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Of each image: the masks bool (m, h, w) that are found in the true boxes of its objects, the
    true ones, and their classes (m,); crowds are left out.
    """
    module.eval()
    for row in range(len(samples)):
        batch = samples.read(torch.tensor([row]))
        (image,), (truth,) = module.plain(batch["image"]), batch["masks"]
        good = ~batch["box_crowd"][0]
        boxes, labels = batch["boxes"][0][good].float(), batch["box_label"][0][good]
        (told,) = module.head.masks_at(module.backbone(image[None]), [boxes], [labels])
        yield pasted(told, boxes, tuple(truth.shape[1:])), truth[good], labels


def arms(rows: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs by their names, a run for each seed."""
    by_name: dict[str, list[Run]] = {}
    for row in rows:
        by_name.setdefault(row["name"], []).append(row)
    return by_name


def heading(first: str, second: str, shown: Sequence[str]) -> list[str]:
    """The first two lines of a table of arms."""
    head = f"| {first} | {second} | {' | '.join(shown)} |"
    return [head, "| --- " * (2 + len(shown)) + "|"]


def line(name: str, cost: str, runs: Sequence[Run]) -> str:
    """A row: of what was measured the means over seeds."""
    values = zip(*[one["found"].values() for one in runs], strict=True)
    return f"| {name} | {cost} | {' | '.join(map(cell, values))} |"


def gain(runs: Sequence[Run], controls: Sequence[Run], key: str) -> str:
    """By how much runs are better than their controls, seed by seed, and whether it shows."""
    pairs = zip(runs, controls, strict=True)
    gained = [one["found"][key] - other["found"][key] for one, other in pairs]
    return f"{cell(gained, '+')}: {verdict(gained)}"


def study(
    name: str,
    about: str,
    sizes: tuple[Any, Any],
    wanted: Callable[[Any], Iterator[tuple[str, Run]]],
    kinds: Sequence[str],
    run: Callable[[dict[str, Path], Run, Progress], Run],
    write: Callable[[list[Run], Any, str, Path], None],
) -> None:
    """Command line of a study.

    sizes: those of `--quick`, and the others, with `images` and `tested`. run: of the shards of
    each of the kinds. write: the page, of the results, sizes, command and folder.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=about.split("\n\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="one seed, few images; kept apart")
    given = parser.parse_args()
    own = sizes[0] if given.quick else sizes[1]
    work = settings.STATE / f"{name}{'-quick' * given.quick}"
    command = f"python -m benchmarks.{name}{' --quick' * given.quick}"
    folders: dict[str, Path] = {}

    def result(one: Run, show: Progress) -> Run:
        if not folders:
            folders.update(drawn(work, kinds, own.images, own.tested))
        return run(folders, one, show)

    with user_errors():
        rows = pursue(name, work, dict(wanted(own)), result)
        write(rows, own, command, work if given.quick else RESULTS)
