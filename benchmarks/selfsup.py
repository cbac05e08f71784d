"""Hashtags or self-supervision on the same images? Ten pretrainings of one network on the same
posts, with about equal compute, fine-tuned and probed on few labels.

    make repro RECIPE=selfsup        (or: python -m benchmarks.selfsup [--quick] [-S
    tasks.cifar10.seeds=[0]])

Posts are Tiny ImageNet's under WordNet hashtags, labels CIFAR-10's, as of RECIPE=photographs. The
compute of a pretraining is measured: what passes its backbone for an image. The DAG runs in a clone
of this repository's HEAD; run again, it goes on there.
"""

import contextlib
import csv
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from benchmarks import selfsup_report
from benchmarks.overlays import Made, Study, main
from engine.core.network import network
from flows.running import settings
from flows.tracking import tracking
from flows.training.learning import Job, image_count
from models.blocks.augment.draws import Draws
from models.blocks.methods.method import Pace

FORWARD = 1 / 3  # of a pass with gradient, whose way back costs twice the way there
Curves = dict[str, list[tuple[float, float]]]  # (share of the training, number) by name
CLASSES = 8  # of the images that compute is measured on
QUICK = (
    *("posts.per_class=30", "posts.tags.users=300", "labels.train=60", "labels.val=20"),
    *("labels.test=20", "corpus.min_posts=10", "pretrain.*.epochs=0.5"),
    *("pretrain.*.recipe.warmup=0", "tasks.*.epochs=2", "tasks.*.seeds=[0, 1]"),
    *("tasks.*.labels=[10]", "tasks.*.grid.rate=[0.4]", "evaluate.runs=5"),
)


@dataclass
class Pretraining:
    """What a pretraining took, and what was watched while it ran.

    seen: images of the data, each epoch anew. trained, taught: whole images that passed the
    backbone with a gradient and without, small views by their pixels.
    curves: [(share of the training, number)] by the name of what is watched.
    """

    name: str
    epochs: float
    seen: int
    trained: float
    taught: float
    seconds: float
    curves: Curves = field(default_factory=dict)

    @property
    def compute(self) -> float:
        """Passes of whole images, those without a gradient by what they cost."""
        return self.trained + FORWARD * self.taught


# ---- compute


def passes(sections: dict[str, Any], size: int, images: int = 8) -> tuple[float, float]:
    """Whole images that pass the backbone for one of the data: (with gradient, without).

    sections: backbone, objective and head.
    """
    module = network(**sections, classes=CLASSES, names=[str(each) for each in range(CLASSES)])
    pixels: Counter[bool] = Counter()

    def note(_: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        n, _, h, w = given[0].shape
        pixels[torch.is_grad_enabled()] += n * h * w

    backbone = type(module.backbone)
    for each in module.modules():
        # a teacher has a copy
        if type(each) is backbone:
            each.register_forward_pre_hook(note)
    batch = {"image": torch.randint(256, (images, size, size, 3), dtype=torch.uint8)}
    batch["hashtags"] = torch.eye(CLASSES)[torch.arange(images) % CLASSES]
    views = module.train().views(batch, Draws(torch.Generator()))
    module.before_step(Pace())
    module(views)
    whole = images * size**2
    return pixels[True] / whole, pixels[False] / whole


# ---- what MLflow has of the pretrainings


def stage_run(stage: str, data: str) -> str:
    """The id of the last finished run of a stage on a data version."""
    client = tracking.connect()
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT).experiment_id
    where = f"tags.`tagdag.data` = '{data}' and tags.`tagdag.stage` = '{stage}'"
    where += " and attributes.status = 'FINISHED'"
    order = ["attributes.start_time DESC"]
    return client.search_runs([experiment], where, order_by=order, max_results=1)[0].info.run_id


def history(run: str, key: str) -> dict[int, float]:
    """The values of a metric by step; of a step that a kill had taken twice, the last."""
    points = tracking.connect().get_metric_history(run, key)
    points = sorted(points, key=lambda point: point.timestamp)
    return {point.step: point.value for point in sorted(points, key=lambda point: point.step)}


def seconds_of(speeds: dict[int, float], batch: int) -> float:
    """What steps took by the speeds that were reported, images per second: no pause is in it."""
    found, before = 0.0, 0
    for step, speed in speeds.items():
        found += (step - before) * batch / speed
        before = step
    return found


def curves_of(file: Path, steps: int) -> Curves:
    """What the monitors told, over the share of the training; nothing where there were none."""
    found: Curves = {}
    if not file.exists():
        return found
    with file.open(newline="") as rows:
        for row in csv.DictReader(rows):
            share = int(row.pop("step")) / steps
            del row["epoch"]
            # an objective may tell less at first
            told = {name: value for name, value in row.items() if value}
            for name, value in told.items():
                found.setdefault(name, []).append((share, float(value)))
    return found


def pretraining(name: str, params: dict[str, Any], data: str) -> Pretraining:
    """What a pretraining of the present folder took."""
    section = params["pretrain"][name]
    section = section | {"backbone": settings.read_backbone(section["section"])}
    sections = Job.of(section).sections
    seen = image_count(section, section["epochs"])
    trained, taught = passes(sections, params["corpus"]["size"])
    run, batch = stage_run(f"pretrain@{name}", data), section["recipe"]["batch"]
    seconds = seconds_of(history(run, "images_per_second"), batch)
    took = (section["epochs"], seen, trained * seen, taught * seen, seconds)
    curves = curves_of(settings.OUT / "pretrain" / name / "monitor.csv", seen // batch)
    return Pretraining(name, *took, curves)


def page(made: Made) -> str:
    """The text of the table; the picture is drawn beside it."""
    params = yaml.safe_load((made.work / "params.yaml").read_text())
    with contextlib.chdir(made.work):
        data = tracking.data_version()
        took = [pretraining(name, params, data) for name in params["pretrain"]]
    return selfsup_report.page(made, took, params)


STUDY = Study("selfsup", __doc__.split("\n\n")[0], QUICK, page)

if __name__ == "__main__":
    main(STUDY)
