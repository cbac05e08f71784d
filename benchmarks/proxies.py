"""Are labels needed to rank networks? Rotation, colour and jigsaw against labels, short training
against long.

    make repro RECIPE=proxies    (25 minutes on two cores; or python -m benchmarks.proxies [--quick]
    [--networks 32])

Liu, Dollár, He, Girshick, Yuille, Xie 2020, "Are Labels Necessary for Neural Architecture Search?"
(arXiv 2003.12056), section 3, the sample-based experiments: networks drawn from a design space are
each trained on the labels and, on the same images without them, on pretext tasks; how alike do the
tasks rank them?

RegNetX of 1 to 2 million multiply-adds on CIFAR-10. A proxy is as good as it ranks the networks in
the order of the longest training on labels. Weights, order and views of every training have a seed
of their own, so that a correlation owes nothing to shared luck; all networks are tested on the same
images, turned and shuffled alike. Each training is kept in .tagdag/proxies/results.jsonl: a killed
study goes on.
"""

import argparse
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import spearmanr

from benchmarks.minibatch import Pictures, pictures
from benchmarks.packs import CIFAR, FOLDER, check
from benchmarks.study import Run, preamble, pursue
from corpus.progress import Progress
from engine.core.build import build
from engine.core.digest import digest
from engine.core.network import network
from engine.measure.twosample import rank_correlations
from engine.training.loop import initialise, train
from engine.training.predicting import scored
from engine.training.recipe import Recipe
from engine.training.schedule import Training
from flows.cli.command import user_errors
from flows.running import settings
from flows.searching.samplers import draw_pool
from metrics.accuracy import Accuracy

RESULTS = Path(__file__).resolve().parent / "results"
SPACE = {
    "name": "regnetx",
    "flops": [1.0e6, 2.0e6],
    "depth": [4, 12],
    "w_0": [8, 48],
    "w_a": [4, 48],
    "w_m": [1.5, 3],
}
SPACE |= {
    "group_width": [4, 32],
    "stages": [3, 4],
    "resolution": 32,
    "stem_width": 16,
    "stem_stride": 2,
}
RECIPE = {"batch": 64, "rate": 0.8, "warmup": 0.25, "schedule": "cosine", "weight_decay": 5e-5}
LONG, FLOPS = "labels, long", "multiply-adds"
TASKS = {  # objective, and which of the sizes its epochs are
    LONG: ({"name": "supervised"}, "long"),
    "labels, short": ({"name": "supervised"}, "short"),
    "rotation": ({"name": "rotation", "rotations": 1}, "short"),
    "colour": ({"name": "colour", "stride": 4}, "short"),
    "jigsaw": ({"name": "jigsaw"}, "short"),
}
VIEWS = {"scale": [0.5, 1.0]}
ABOUT = """Accuracy: top-1 (%) on {held} training images of CIFAR-10 that no network was trained
on; of turned images, puzzles or squares of 4 x 4 pixels where those are the task. Rank correlations
over the {networks} networks are with `labels, long`: {long} epochs of {images} images, all others
{short}. Intervals: 95 %, bootstrap over the networks. `multiply-adds` is no training at all: what a
proxy that only sees how large a network is would say."""


class Sizes(NamedTuple):
    """How large a study is: networks, images trained on and held out, epochs of the long
    training and of the others.
    """

    networks: int = 32
    images: int = 8192
    held: int = 4000
    long: int = 8
    short: int = 2


QUICK = Sizes(networks=4, images=512, held=300, long=2, short=1)


def drawn(count: int) -> list[dict[str, Any]]:
    """Different networks of the space; the first ones do not depend on how many are drawn."""
    space = build("spaces", SPACE)
    return [space.section(values) for values in draw_pool(space, count, seed=0, enough=count)]


def run(parts: dict[str, Pictures], one: Run, show: Progress) -> Run:
    """The accuracy of a network in a task after training for it."""
    initialise(one["seed"])
    module = network(one["backbone"], one["objective"] | VIEWS, {"name": "linear"}, classes=10)
    train(
        module,
        parts["train"],
        Training(Recipe(**RECIPE), one["epochs"], one["seed"], progress=show),
    )
    return {"accuracy": scored(module, parts["held"], Accuracy()).compute()["top1"]}


def study(packs: Path, work: Path, sizes: Sizes) -> list[Run]:
    """All networks in all tasks; trainings that an earlier study kept are taken as they are."""
    parts: dict[str, Pictures] = {}

    def result(one: Run, show: Progress) -> Run:
        if not parts:
            parts.update(pictures(packs, sizes))
        return run(parts, one, show)

    wanted = {}
    for seed, ((number, backbone), (task, (objective, epochs))) in enumerate(
        product(enumerate(drawn(sizes.networks)), TASKS.items())
    ):
        one = {
            "backbone": backbone,
            "objective": objective,
            "epochs": getattr(sizes, epochs),
            "seed": seed,
        }
        key = digest(sizes._replace(networks=0), RECIPE, VIEWS, one)
        wanted[key] = {"name": f"network {number}, {task}", "network": number, "task": task} | one
    return pursue("proxies", work, wanted, result)


def measured(rows: Sequence[Run]) -> dict[str, np.ndarray]:
    """What every proxy says of the networks, in their order: accuracies, and multiply-adds."""
    space = build("spaces", SPACE)
    found = {}
    for task in TASKS:
        found[task] = np.array([row["accuracy"] for row in rows if row["task"] == task])
    backbones = [row["backbone"] for row in rows if row["task"] == LONG]
    found[FLOPS] = np.array([space.cost(backbone)["flops"] for backbone in backbones])
    return found


def text(rows: Sequence[Run], sizes: Sizes, command: str) -> str:
    """The study as Markdown."""
    lines = preamble("Proxies for training on labels: how alike they rank networks", command, rows)
    lines += [f"| sizes | {', '.join(f'{k} {v}' for k, v in sizes._asdict().items())} |"]
    lines += [
        "",
        ABOUT.format(**sizes._asdict()),
        "",
        "| proxy | Spearman | Kendall | accuracy | minutes |",
    ]
    lines += ["| --- | --- | --- | --- | --- |"]
    found = measured(rows)
    for proxy, values in found.items():
        cells = [proxy, "", "", f"{values.min():.1f} to {values.max():.1f}", ""]
        if proxy == FLOPS:
            cells[3] = ""
        else:
            cells[4] = f"{sum(row['minutes'] for row in rows if row['task'] == proxy):.1f}"
        if proxy != LONG:
            ranks = rank_correlations(values, found[LONG], torch.Generator().manual_seed(0))
            cells[1:3] = [
                "{:.2f} [{:.2f}, {:.2f}]".format(*ranks[name]) for name in ("spearman", "kendall")
            ]
        lines.append("| " + " | ".join(cells) + " |")
    return (
        "\n".join([*lines, "", "![accuracy on labels over that of each proxy](proxies.png)"]) + "\n"
    )


def plot(path: Path, rows: Sequence[Run]) -> None:
    """A point per network: accuracy after the long training on labels over what each proxy says."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = measured(rows)
    labels = found.pop(LONG)
    figure, axes = plt.subplots(
        1, len(found), figsize=(3 * len(found), 3.2), layout="constrained", sharey=True
    )
    for axis, (proxy, values) in zip(axes, found.items(), strict=True):
        axis.scatter(values, labels, s=14)
        axis.set(xlabel=proxy if proxy == FLOPS else f"{proxy} (%)")
        axis.set_title(f"Spearman {spearmanr(values, labels).statistic:.2f}", fontsize=10)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(f"{LONG} (%)")
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)


def main() -> None:
    """Command line of the recipe."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.proxies", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("--packs", type=Path, default=FOLDER, help="folder of the packs (*.tar.xz)")
    parser.add_argument(
        "--work", type=Path, help="folder of what is kept (default .tagdag/proxies)"
    )
    parser.add_argument("--networks", type=int, help="number of networks (default 32)")
    parser.add_argument(
        "--quick", action="store_true", help="few images; the table stays in the work folder"
    )
    given = parser.parse_args()
    work = given.work or settings.STATE / f"proxies{'-quick' * given.quick}"
    sizes = QUICK if given.quick else Sizes()
    sizes = sizes._replace(networks=given.networks or sizes.networks)
    shown = [
        *["--quick"] * given.quick,
        *([f"--networks {given.networks}"] if given.networks else []),
    ]
    command = (
        " ".join(["python -m benchmarks.proxies", *shown]) if shown else "make repro RECIPE=proxies"
    )
    with user_errors():
        check(given.packs, [CIFAR])
        rows, out = study(given.packs, work, sizes), work if given.quick else RESULTS
        out.mkdir(parents=True, exist_ok=True)
        (out / "proxies.md").write_text(written := text(rows, sizes, command), encoding="utf-8")
        plot(out / "proxies.png", rows)
        print(written)


if __name__ == "__main__":
    main()
