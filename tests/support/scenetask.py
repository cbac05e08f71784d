"""A task of drawn scenes as the stages before evaluate leave it: shards, networks, records.

Networks are random, and their answers those of an oracle that errs: what is true, moved, renamed,
left out or said twice.
"""

import itertools
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from corpus.drawn.objects import draw_images, draw_objects
from corpus.kinds.posts import Post
from corpus.store.write import write_store
from engine.core.network import network, save_network
from engine.core.samples import open_split
from models.blocks.detection.targets import semantic_of
from tests.support.corpora import build_with
from tests.support.networks import TINY
from tests.support.records import seed
from tests.support.scenes import head_section

IMAGES = (4, 2, 9)
SIZE = 64
SETS = {"objects": "boxes", "segments": "panoptic"}
# a task by its name: the set, the objective, the metric
TASKS = {
    "boxes": ("objects", "detection", {"name": "coco_ap"}),
    "masks": ("objects", "instances", {"name": "coco_ap", "of": "masks"}),
    "pixels": ("segments", "semantic", {"name": "mean_iou"}),
    "panoptic": ("segments", "panoptic", {"name": "pq"}),
    "sized": ("objects", "detection", {"name": "coco_ap"}),
}
INITS = ("tiny-hashtags", "scratch")


def draw_sets(place: Path) -> None:
    """Drawn sets of both kinds, and some posts, as shards of the stage corpus."""
    data = place / "data"
    posts = []
    for each in draw_images(9, (8, 0, 0), 32):
        about = {"id": f"p{each.number}", "image": each.name, "hashtags": ["sea"]}
        posts.append((Post(**about), each.scene.image))
    write_store(data / "posts", posts)
    for name, kind in SETS.items():
        draw_objects(data / "targets" / name, kind, IMAGES, size=SIZE)
    build_with(data, place / "out/corpus", place / "cache", min_posts=1, min_tags=1, size=SIZE)


def params_of(task: str) -> dict[str, Any]:
    """The section of a task."""
    name, objective, metric = TASKS[task]
    about = {"data": f"targets/{name}", "metric": metric, "objective": {"name": objective}}
    return about | {"inits": list(INITS), "policy": {"name": "plain"}}


# a head that finds what the objective needs
HEADS = {"boxes": "retinanet", "masks": "mask_rcnn", "pixels": "semantic_fpn"}
HEADS |= {"panoptic": "panoptic_fpn", "sized": "retinanet"}


def leave_task(place: Path, task: str, seeds: int = 2) -> None:
    """Networks of a task with their records, as the stage finetune leaves them."""
    name, objective, _ = TASKS[task]
    names = open_split(place / "out/corpus/targets" / name, "test").names
    head = head_section(HEADS[task])
    if "things" in head:
        head["things"] = [each for each in head["things"] if each in names]
    sections = {"backbone": TINY, "objective": {"name": objective}, "head": head}
    folder, arms = place / "out/finetune" / task, []
    folder.mkdir(parents=True, exist_ok=True)
    for init, number in itertools.product(INITS, range(seeds)):
        about = {"candidate": "tiny", "task": task, "init": init, "name": f"{init}-{number}"}
        arms.append(seed(number, 50.0 + number + len(init), labels="all", **about))
        arms[-1]["head"] = sections["head"]
        torch.manual_seed(len(arms))
        module = network(**sections, classes=len(names), names=names)
        save_network(folder / f"{init}-{number}.safetensors", module, sections, names, size=SIZE)
    (folder / "records.json").write_text(json.dumps(arms))


class Oracle:
    """Answers of a network that errs, in the place of `Scenes.predict`; of any weights others."""

    def __call__(self, module: torch.nn.Module, batch: dict[str, Any]) -> dict[str, list[Tensor]]:
        weight = float(next(module.parameters()).detach().flatten()[0])
        generator = torch.Generator().manual_seed(int(abs(weight) * 1e6))
        found: dict[str, list[Tensor]] = defaultdict(list)
        for row in range(len(batch["image"])):
            told = self._objects if "boxes" in batch else self._maps
            for name, value in told(batch, row, module, generator).items():
                found[name].append(value)
        return dict(found)

    @staticmethod
    def _objects(batch: dict, row: int, module: Any, generator: torch.Generator) -> dict:
        boxes, labels = batch["boxes"][row], batch["box_label"][row]
        places = torch.arange(len(boxes)).repeat(2)
        chance = torch.rand(len(places), 3, generator=generator)
        # most of the first copy, some of the second: duplicates
        places, chance = (each[chance[:, 0] < 0.8] for each in (places, chance))
        noise = 3 * torch.randn(len(places), 4, generator=generator)
        moved = boxes[places] + noise * (chance[:, 1:2] < 0.4)
        moved[:, 2:] = moved[:, 2:].maximum(moved[:, :2] + 1)
        named = (labels[places] + (chance[:, 2] < 0.15)) % module.head.classes
        told = {"boxes": moved, "box_label": named, "box_score": chance[:, 1].clamp(0.01)}
        if "masks" in batch:
            told["masks"] = batch["masks"][row][places].roll(1, 2)
        return told

    @staticmethod
    def _maps(batch: dict, row: int, module: Any, generator: torch.Generator) -> dict:
        panoptic = batch["panoptic"][row].roll(2, 1)
        labels = batch["panoptic_label"][row].clone()
        wrong = torch.rand(len(labels), generator=generator) < 0.2
        labels[wrong] = (labels[wrong] + 1) % module.head.classes
        if "semantic" in batch:
            return {"semantic": semantic_of(panoptic, labels).long()}
        kept = panoptic.unique()
        kept = kept[kept > 0]
        renumbered = torch.zeros(len(labels) + 1, dtype=panoptic.dtype)
        renumbered[kept.long()] = torch.arange(1, len(kept) + 1, dtype=panoptic.dtype)
        return {"panoptic": renumbered[panoptic.long()], "panoptic_label": labels[kept.long() - 1]}
