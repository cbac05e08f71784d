"""Does PointRend draw outlines better, at about the cost of a plain mask head? On drawn scenes.

    python -m benchmarks.pointrend [--quick]    (a quarter of an hour on a CPU core)

Kirillov, Wu, He, Girshick 2020, "PointRend: Image Segmentation as Rendering", arXiv 1912.08193,
tables 1 and 7: each head against its control, paired by seed.

- Instances: PointRend against the mask branch of Mask R-CNN, of the same detector, with about as
  many multiply-adds for each object found.
- Classes of pixels: PointRend of a semantic FPN against a semantic FPN that is wider, and so costs
  as much.

The scenes of corpus/drawn/objects.py, whose masks are exact, through the shards that a stage reads;
networks from scratch. Of instances the outlines in the true boxes are measured as well, which says
of masks what the errors of boxes hide. A seed draws weights, order and views. Each run is kept in
.tagdag/pointrend/results.jsonl by its settings: a killed study goes on.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.study import Run, cell, preamble, pursue, verdict
from corpus.drawn.objects import draw_objects
from corpus.progress import Progress
from corpus.store.squares import open_store
from corpus.targets import write_labelled
from engine.core.build import build, options
from engine.core.digest import digest
from engine.core.network import columns_read, network
from engine.core.samples import Rows, open_split
from engine.measure.complexity import counting
from engine.training.loop import initialise, train
from engine.training.predicting import scored
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from flows.cli.command import user_errors
from flows.running import settings
from metrics.blocks.masks.boundary import distance, of_mask
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
POINTS = {"point_hidden": 32, "test_points": 196}
SEMANTIC = {"width": 32, "norm": "group", "dim": 32}
HEADS: dict[str, tuple[str, dict[str, Any]]] = {  # by name: objective and section
    "Mask R-CNN, 28 x 28": ("instances", {"name": "mask_rcnn", "mask_convs": 2, **DETECTOR}),
    "PointRend, 112 x 112": (
        "instances",
        {"name": "pointrend", "coarse_hidden": 64, "steps": 4, **POINTS, **DETECTOR},
    ),
    "semantic FPN": ("semantic", {"name": "semantic_fpn", **SEMANTIC, "dim": 48}),
    "PointRend of a semantic FPN": (
        "semantic",
        {"name": "pointrend_semantic", "points": 256, **POINTS, "test_points": 1024, **SEMANTIC},
    ),
}
CONTROLS = {
    "PointRend, 112 x 112": "Mask R-CNN, 28 x 28",
    "PointRend of a semantic FPN": "semantic FPN",
}
KINDS = {"instances": "boxes", "semantic": "panoptic"}
MEASURED = {
    "instances": {
        "mask AP": {"name": "coco_ap", "of": "masks", "resamples": 0},
        "boundary AP": {"name": "boundary_ap", "resamples": 0},
        "box AP": {"name": "coco_ap", "of": "boxes", "resamples": 0},
    },
    "semantic": {
        "mean IoU": {"name": "mean_iou", "resamples": 0},
        "boundary IoU": {"name": "boundary_iou", "resamples": 0},
    },
}
IN_BOXES = "boundary IoU in true boxes"
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


class Sizes(NamedTuple):
    """Seeds; images trained on and tested; epochs of each objective."""

    seeds: int = 3
    images: int = 250
    tested: int = 200
    instances: int = 8
    semantic: int = 6


QUICK = Sizes(seeds=1, images=24, tested=12, instances=1, semantic=1)


class All:
    """Several metrics of one pass over the images."""

    def __init__(self, sections: dict[str, dict[str, Any]]) -> None:
        self.metrics = {name: build("metrics", section) for name, section in sections.items()}

    def update(self, predictions: dict[str, Any], targets: dict[str, Any]) -> None:
        for metric in self.metrics.values():
            metric.update(predictions, targets)

    def headlines(self) -> dict[str, float]:
        """The headline of each, in percent."""
        return {name: one.compute()[one.headline] for name, one in self.metrics.items()}


def drawn(work: Path, sizes: Sizes) -> dict[str, Path]:
    """The shards of each kind, drawn where they are not there yet."""
    found = {}
    for kind in KINDS.values():
        top = work / f"{kind}-{sizes.images}-{sizes.tested}"
        found[kind] = top / "shards"
        if not found[kind].exists():
            draw_objects(top / "store", kind, (sizes.images, 1, sizes.tested), size=SIDE)
            store = open_store("targets/drawn", top / "store", SIDE, top / "cache")
            write_labelled(store, found[kind], {"val": 0.0, "test": 0.0})
    return found


def run(folders: dict[str, Path], one: Run, show: Progress) -> Run:
    """What is measured of one training, in percent, and multiply-adds in millions."""
    initialise(one["seed"])
    folder, objective = folders[KINDS[one["objective"]]], {"name": one["objective"]}
    parts = {split: open_split(folder, split) for split in ("train", "test")}
    names = parts["train"].names
    module = network(BACKBONE, objective, one["head"], classes=len(names), names=names)
    columns = columns_read(objective)
    samples = {split: Rows(shards, columns) for split, shards in parts.items()}
    recipe = Recipe(**options(Recipe, one["recipe"], "recipe"))
    train(
        module, samples["train"], Training(recipe, one["epochs"], one["seed"], None, progress=show)
    )
    found = scored(module, samples["test"], All(MEASURED[one["objective"]])).headlines()
    if one["objective"] == "instances":
        found[IN_BOXES] = in_true_boxes(module, samples["test"])
    return {"found": found, "flops": flops(module)}


@torch.no_grad()
def in_true_boxes(module: nn.Module, samples: Rows) -> float:
    """Mean boundary IoU, in percent, of the masks that are found in the true boxes of objects."""
    module.eval()
    ious: list[float] = []
    for row in range(len(samples)):
        batch = samples.read(torch.tensor([row]))
        (image,), (truth,) = module.plain(batch["image"]), batch["masks"]
        good = ~batch["box_crowd"][0]
        boxes, labels = batch["boxes"][0][good].float(), batch["box_label"][0][good]
        told = masks_of(module, image, boxes, labels)
        ours = pasted(told, boxes, tuple(truth.shape[1:])).numpy()
        d = distance(*truth.shape[1:])
        for found, wanted in zip(ours, truth[good].numpy(), strict=True):
            first, second = of_mask(found, d), of_mask(wanted, d)
            ious.append(np.sum(first & second) / np.sum(first | second))
    return 100 * float(np.mean(ious))


def masks_of(module: nn.Module, image: Tensor, boxes: Tensor, labels: Tensor) -> Tensor:
    """Probabilities (m, s, s) in boxes (m, 4) of an image (3, h, w)."""
    head = module.head
    pyramid = head.pyramid(module.backbone(image[None]))[:-1]
    return head.mask.masks(pyramid, [boxes], [labels], box_head=head.box)[0]


def flops(module: nn.Module) -> float:
    """Millions of multiply-adds, by the rule pycls: of an object's mask, or of an image's head."""
    module.eval()
    image, box = torch.zeros(3, SIDE, SIDE), torch.tensor([[20.0, 20, 90, 90]])
    maps = module.backbone(image[None])
    counter = counting("pycls", module)
    with torch.no_grad():
        if not hasattr(module.head, "mask"):
            with counter:
                module.head(maps)
            return counter.counted()["flops"] / 1e6
        pyramid, label = module.head.pyramid(maps)[:-1], torch.tensor([0])
        with counter:
            module.head.mask.masks(pyramid, [box], [label], box_head=module.head.box)
    return counter.counted()["flops"] / 1e6


def wanted(sizes: Sizes) -> Iterator[tuple[str, Run]]:
    """All runs, by what makes them: their settings and sizes."""
    for seed in range(sizes.seeds):
        for name, (objective, head) in HEADS.items():
            settled = {"objective": objective, "head": head, "recipe": RECIPE, "seed": seed}
            settled["epochs"] = getattr(sizes, objective)
            yield digest(settled, [sizes.images, sizes.tested, SIDE]), settled | {"name": name}


def table(rows: Sequence[Run]) -> list[str]:
    """Markdown: what is measured of each head of an objective, and by how much PointRend is better
    than its control.
    """
    by_name: dict[str, list[Run]] = {}
    for row in rows:
        by_name.setdefault(row["name"], []).append(row)
    shown = list(rows[0]["found"])
    lines = [
        f"| head | multiply-adds (M) | {' | '.join(shown)} |",
        "| --- " * (2 + len(shown)) + "|",
    ]
    for name, runs in by_name.items():
        values = zip(*[one["found"].values() for one in runs], strict=True)
        cells = map(cell, values)
        lines.append(f"| {name} | {runs[0]['flops']:.2f} | {' | '.join(cells)} |")
        if name in CONTROLS:
            told = [gain(runs, by_name[CONTROLS[name]], key) for key in shown]
            lines.append(f"| gain | | {' | '.join(told)} |")
    return lines


def gain(runs: Sequence[Run], controls: Sequence[Run], key: str) -> str:
    """By how much runs are better than their controls, seed by seed, and whether it shows."""
    pairs = zip(runs, controls, strict=True)
    gained = [one["found"][key] - other["found"][key] for one, other in pairs]
    return f"{cell(gained, '+')}: {verdict(gained)}"


ABOUT = """Percent, of {tested} test images; means over {seeds} seeds and half of their 95 %
intervals, gains paired by seed. `shows` where the interval of a gain lies above 0. Multiply-adds
are those of the mask branch for one object, or of the whole head for one image of {side} x {side}
px. Trained from scratch on {images} images, {instances} epochs of instances, {semantic} of classes
of pixels: networks are small and far from trained, and nothing was tuned for any of them."""


def write(rows: list[Run], sizes: Sizes, command: str, path: Path) -> None:
    """The page of results."""
    about = ABOUT.format(**sizes._asdict(), side=SIDE)
    lines = [*preamble("Does PointRend draw outlines better?", command, rows), "", about]
    titles = {"instances": "Masks of objects", "semantic": "Classes of pixels"}
    for objective, title in titles.items():
        own = [row for row in rows if row["objective"] == objective]
        lines += ["", f"## {title}", "", *table(own)]
    path.mkdir(parents=True, exist_ok=True)
    (path / "pointrend.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pointrend", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="one seed, few images; kept apart")
    given = parser.parse_args()
    sizes = QUICK if given.quick else Sizes()
    work = settings.STATE / f"pointrend{'-quick' * given.quick}"
    command = f"python -m benchmarks.pointrend{' --quick' * given.quick}"
    folders: dict[str, Path] = {}

    def result(one: Run, show: Progress) -> Run:
        if not folders:
            folders.update(drawn(work, sizes))
        return run(folders, one, show)

    with user_errors():
        rows = pursue("pointrend", work, dict(wanted(sizes)), result)
        write(rows, sizes, command, work if given.quick else RESULTS)


if __name__ == "__main__":
    main()
