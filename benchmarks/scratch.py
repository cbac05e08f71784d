"""Detection from scratch against pretraining on hashtags and on labels, over longer schedules.

He, Girshick, Dollar 2019, "Rethinking ImageNet Pre-training", arXiv 1811.08883: from scratch takes
longer and comes as far. Group norm everywhere (section 3.1), every schedule trained to its own end
(section 3.2).

    make repro RECIPE=scratch      (or: python -m benchmarks.scratch [--quick] [-S
    tasks.*.seeds=[0]])

Needs no data pack. The DAG runs in a clone of this repository's HEAD; run again, it goes on there.
"""

from pathlib import Path
from typing import Any

import yaml

from benchmarks.objects_data import TOLD, drawn
from benchmarks.overlays import Made, Study, head, main
from benchmarks.selfsup_report import listed, row, spread
from flows.measuring.summary import pretraining_name

TASKS = ("1x", "2x", "4x")
QUICK = (
    *("drawn.posts=200", "drawn.per_class=4", "drawn.images=[16, 8, 8]", "corpus.min_posts=2"),
    *("pretrain.*.epochs=1", "pretrain.*.recipe.warmup=0", "tasks.*.recipe.warmup=0"),
    *("tasks.*.epochs=1", "tasks.2x.epochs=2", "tasks.*.seeds=[0, 1]", "evaluate.runs=3"),
)
ABOUT = """AP of boxes in %, the mean over seeds (95 % interval over seeds and images), on the test
images. A schedule's images are those that pass the network in training; pretraining's own are not
among them. The picture has the same numbers, with the seeds from the lowest to the highest."""


def curves(made: Made) -> dict[str, list[tuple[int, dict[str, Any]]]]:
    """Of each pretraining: (training images seen, record), by length of the schedule."""
    params = yaml.safe_load((made.work / "params.yaml").read_text())
    images = made.sections["drawn"]["images"][0]
    found: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for task in TASKS:
        seen = params["tasks"][task]["epochs"] * images
        for record in made.evaluated("records", task):
            found.setdefault(pretraining_name(record), []).append((seen, record))
    return found


def drawing(found: dict[str, list[tuple[int, dict[str, Any]]]], file: Path) -> None:
    """All curves in one plot."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.6), dpi=110)
    for name, points in found.items():
        seen = [images for images, _ in points]
        values = [record["by_seed"] for _, record in points]
        means = [sum(each) / len(each) for each in values]
        [line] = axes.plot(seen, means, marker="o", label=name)
        lowest, highest = [min(each) for each in values], [max(each) for each in values]
        axes.fill_between(seen, lowest, highest, alpha=0.15, color=line.get_color())
    axes.set_xscale("log", base=2)
    axes.set_xticks(seen, [f"{images:,}" for images in seen])
    axes.set(xlabel="training images seen", ylabel="AP of boxes, %", ylim=(0, None))
    axes.legend(title="pretraining", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(file)
    plt.close(figure)


def page(made: Made) -> str:
    """The result as Markdown, and its picture beside it."""
    found, file = curves(made), made.page.with_suffix(".png")
    drawing(found, file)
    device = next(iter(found.values()))[0][1]["device"]
    lines = [*head("Detection from scratch and pretrained", made, device), "", ABOUT, ""]
    lines += [f"![AP over training images]({file.name})", ""]
    seen = zip(TASKS, next(iter(found.values())), strict=True)
    schedules = [f"{name}: {images:,} images" for name, (images, _) in seen]
    lines += listed(["pretraining", *schedules])
    for name, points in found.items():
        lines.append(row([name, *(spread(record, "") for _, record in points)]))
    return "\n".join(lines) + "\n"


STUDY = Study(
    "scratch",
    __doc__.split("\n\n")[0],
    QUICK,
    page,
    task="1x",
    packs=(),
    told=TOLD,
    data=drawn,
)

if __name__ == "__main__":
    main(STUDY)
