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

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from benchmarks.mask_studies import (
    DETECTOR,
    RECIPE,
    SIDE,
    All,
    arms,
    gain,
    heading,
    line,
    masks_in_true_boxes,
    study,
    trained,
)
from benchmarks.study import Run, preamble
from corpus.progress import Progress
from engine.core.digest import digest
from engine.core.samples import Rows
from engine.measure.complexity import counting
from engine.training.predicting import scored
from metrics.blocks.masks.boundary import distance, of_mask

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


class Sizes(NamedTuple):
    """Seeds; images trained on and tested; epochs of each objective."""

    seeds: int = 3
    images: int = 250
    tested: int = 200
    instances: int = 8
    semantic: int = 6


QUICK = Sizes(seeds=1, images=24, tested=12, instances=1, semantic=1)


def run(folders: dict[str, Path], one: Run, show: Progress) -> Run:
    """What is measured of one training, in percent, and multiply-adds in millions."""
    folder, objective = folders[KINDS[one["objective"]]], {"name": one["objective"]}
    module, _, test = trained(folder, objective, one, show)
    found = scored(module, test, All.of(MEASURED[one["objective"]])).headlines()
    if one["objective"] == "instances":
        found[IN_BOXES] = in_true_boxes(module, test)
    return {"found": found, "flops": flops(module)}


def in_true_boxes(module: nn.Module, samples: Rows) -> float:
    """Mean boundary IoU, in percent, of the masks that are found in the true boxes of objects."""
    ious: list[float] = []
    for ours, truth, _ in masks_in_true_boxes(module, samples):
        d = distance(*truth.shape[1:])
        for found, wanted in zip(ours.numpy(), truth.numpy(), strict=True):
            first, second = of_mask(found, d), of_mask(wanted, d)
            ious.append(np.sum(first & second) / np.sum(first | second))
    return 100 * float(np.mean(ious))


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
    by_name, shown = arms(rows), list(rows[0]["found"])
    lines = heading("head", "multiply-adds (M)", shown)
    for name, runs in by_name.items():
        lines.append(line(name, f"{runs[0]['flops']:.2f}", runs))
        if name in CONTROLS:
            told = [gain(runs, by_name[CONTROLS[name]], key) for key in shown]
            lines.append(f"| gain | | {' | '.join(told)} |")
    return lines


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


if __name__ == "__main__":
    study("pointrend", __doc__, (QUICK, Sizes()), wanted, [*KINDS.values()], run, write)
