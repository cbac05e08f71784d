"""The whole DAG on drawn objects: boxes, masks, classes of pixels and panoptic maps, by networks
pretrained on hashtags and from scratch, beside some that were shown other images than told of.

    make repro RECIPE=objects      (or: python -m benchmarks.objects [--quick] [-S
    tasks.*.seeds=[0]])

Needs no data pack. The DAG runs in a clone of this repository's HEAD; run again, it goes on there.
"""

from collections.abc import Mapping
from typing import Any

from benchmarks.objects_data import TOLD, drawn
from benchmarks.overlays import Made, Study, head, main
from benchmarks.selfsup_report import listed, row, spread
from flows.measuring.summary import SCRATCH, pretraining_name
from flows.reports.models.words import gain_line

# tasks, and what their number is
TASKS = {
    "boxes": "AP of boxes",
    "boxes-few": "AP of boxes, a tenth of the training images",
    "unseen": "AP of boxes, the control: told of other images than shown",
    "masks": "AP of masks",
    "pixels": "mean IoU of the classes of pixels",
    "panoptic": "panoptic quality",
}
QUICK = (
    *("drawn.posts=200", "drawn.per_class=4", "drawn.images=[24, 8, 8]", "corpus.min_posts=2"),
    *("pretrain.*.epochs=1", "pretrain.*.recipe.warmup=0", "tasks.*.recipe.warmup=0"),
    *("tasks.*.epochs=1", "tasks.boxes-few.labels=[0.5]", "tasks.*.seeds=[0, 1]"),
    "evaluate.runs=3",
)
ABOUT = """The mean over seeds in % (95 % interval over seeds and images), on the test images. Every
network is trained by the same few epochs on few and small images: numbers compare its columns, and
say nothing of what the heads reach on photographs. The control was trained on images with the
annotations of others of the same sides: what it has is what is known without looking."""


def table(records: list[dict[str, Any]]) -> list[str]:
    """A row per model."""
    lines = listed(["head", "pretraining", "% (95 %)", "per seed"])
    for record in records:
        seeds = ", ".join(f"{value:.1f}" for value in record["by_seed"])
        name = pretraining_name(record)
        cells = [record["head"]["name"], "none" if name == SCRATCH else name, spread(record, "")]
        lines.append(row([*cells, seeds]))
    return lines


def paged(made: Made, title: str, about: str, tasks: Mapping[str, str]) -> str:
    """The result as Markdown: how it came about, and a table of each of these tasks."""
    device = made.evaluated("records", next(iter(tasks)))[0]["device"]
    lines = [*head(title, made, device), "", about]
    for task, what in tasks.items():
        lines += ["", f"## {task}: {what}", "", *table(made.evaluated("records", task)), ""]
        lines += [f"- {gain_line(gain)}" for gain in made.evaluated("gains", task)]
    return "\n".join(lines) + "\n"


def page(made: Made) -> str:
    """What came out, all tasks of it."""
    return paged(made, "The whole DAG on drawn objects", ABOUT, TASKS)


STUDY = Study(
    "objects",
    __doc__.split("\n\n")[0],
    QUICK,
    page,
    task="boxes",
    packs=(),
    told=TOLD,
    data=drawn,
)

if __name__ == "__main__":
    main(STUDY)
