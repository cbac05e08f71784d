"""Data distillation on drawn objects: a detector learns from a tenth of the labels and from what it
finds itself, in several transforms, in the images that have none.

    make repro RECIPE=distillation        (or: python -m benchmarks.distillation [--quick] [-S
    tasks.*.seeds=[0]])

Radosavovic, Dollár, Girshick, Gkioxari, He 2018, arXiv 1712.04440. All trainings begin with the
same pretrained weights and have equally many steps. Needs no data pack. The DAG runs in a clone of
this repository's HEAD; run again, it goes on there.
"""

import json
from typing import Any

from benchmarks.objects_data import TOLD, drawn
from benchmarks.overlays import Made, Study, head, main
from benchmarks.selfsup_report import listed, row, spread
from flows.measuring.headline import Headline
from flows.measuring.intervals import gain_of_seeds
from flows.running import settings

SAID = "distilled"
TRAININGS = {
    "few": "a tenth of the labels",
    "both": "these, and what its network finds in the other images",
    "whole": "all labels",
}
QUICK = (
    *("drawn.posts=200", "drawn.per_class=4", "drawn.images=[60, 6, 12]", "corpus.min_posts=2"),
    *("pretrain.*.epochs=1", "pretrain.*.recipe.warmup=0", "tasks.*.recipe.warmup=0"),
    *("tasks.*.epochs=2", "tasks.few.epochs=20", "tasks.*.recipe.batch=5", "tasks.*.seeds=[0, 1]"),
    *("materialise.distilled.policy.scales=[0.75, 1.0]", "evaluate.runs=3"),
)
ABOUT = """COCO's AP of boxes on the test images, in %, the mean over seeds (95 % interval over
seeds and images). A seed draws the labelled images, and each seed's network labels for itself
alone. `all labels` is what there was to be gained."""
FOUND = """What the networks of a tenth of the labels found in the other images: the threshold on
the score keeps as many objects per image as the labelled images have."""


def results(records: dict[str, dict[str, Any]]) -> list[str]:
    """A row per training."""
    lines = listed(["trained on", "AP % (95 %)", "per seed", "AP50 %", "AP of small objects %"])
    for task, record in records.items():
        seeds = ", ".join(f"{value:.1f}" for value in record["by_seed"])
        others = [f"{record['values'][key]:.1f}" for key in ("ap50", "ap_small")]
        lines.append(row([TRAININGS[task], spread(record, ""), seeds, *others]))
    return lines


def gains(records: dict[str, dict[str, Any]]) -> list[str]:
    """What the other trainings gave over a tenth of the labels, paired by seed."""
    few, lines = records["few"], []
    for task in ("both", "whole"):
        ours = records[task]["by_seed"]
        gain, low, high = gain_of_seeds(ours, few["by_seed"], Headline(few["headline"]))
        interval = "" if low is None else f" ({low:+.1f} to {high:+.1f}, 95 %, over seeds alone)"
        lines.append(f"- {TRAININGS[task]}: {gain:+.1f} points over {TRAININGS['few']}{interval}")
    return lines


def kept(about: dict[str, Any]) -> list[str]:
    """A row per seed: what its network found, and what of it was kept."""
    names = ["seed", "images", "objects found", "threshold", "wanted", "kept", "images of none"]
    lines = listed([*names, "objects of a labelled image"])
    for seed, told in about["objects"].items():
        cells = [seed, told["images"], told["found"], _shown(told["threshold"])]
        cells += [told["wanted"], told["kept"], told["none"], f"{told['average']:.2f}"]
        lines.append(row(cells))
    return lines


def _shown(threshold: float | None) -> str:
    return "no" if threshold is None else f"{threshold:.4f}"


def page(made: Made) -> str:
    """The result as Markdown: how it came about, what came out."""
    records = {task: made.evaluated("records", task)[0] for task in TRAININGS}
    about = json.loads((made.work / settings.OUT / "materialised" / SAID / "set.json").read_text())
    lines = head("Data distillation on drawn objects", made, records["few"]["device"])
    lines += ["", ABOUT, "", *results(records), "", *gains(records), ""]
    lines += ["## What was labelled", "", FOUND, "", *kept(about)]
    return "\n".join(lines) + "\n"


STUDY = Study(
    "distillation",
    __doc__.split("\n\n")[0],
    QUICK,
    page,
    task="few",
    packs=(),
    told=TOLD,
    data=drawn,
)

if __name__ == "__main__":
    main(STUDY)
